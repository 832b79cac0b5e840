# cmake -DISAS=avx2;avx512 -DPROGRAM_avx2=... -DPROGRAM_avx512=... -DEMULATOR= -DSKIPPED=77 -DOUTPUT=file -P this
#
# Runs every ISA's digest program (the ISA is its argument), expects equal outputs, and writes them to OUTPUT. A program
# that returns SKIPPED is left out; none at all that runs is a failure.

cmake_minimum_required(VERSION 3.20)
set(first "")
foreach(isa IN LISTS ISAS)
  execute_process(COMMAND ${EMULATOR} ${PROGRAM_${isa}} ${isa}
                  OUTPUT_VARIABLE digest ERROR_VARIABLE errors RESULT_VARIABLE result)
  if(result STREQUAL SKIPPED)
    message("${isa}: not on this machine")
    continue()
  elseif(NOT result STREQUAL "0" OR digest STREQUAL "")
    message(FATAL_ERROR "${isa}: ${result}\n${errors}${digest}")
  endif()
  if(first STREQUAL "")
    set(first ${isa})
    set(common "${digest}")
    message("${isa}:\n${digest}")
  elseif(digest STREQUAL common)
    message("${isa}: the same")
  else()
    message(FATAL_ERROR "${isa} differs from ${first}:\n${digest}")
  endif()
endforeach()
if(first STREQUAL "")
  message(FATAL_ERROR "none of ${ISAS} runs on this machine")
endif()
file(WRITE ${OUTPUT} "${common}")
