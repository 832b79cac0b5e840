# cmake -DNM=nm -DISA=avx2 -DOBJECTS=kernels.o -P this
#
# What a kernel object may show to the linker. A second defined symbol, or a weak one (an inline function or a template
# outside of the ISA's anonymous namespace), could be chosen by the linker for everyone, and a machine without that ISA
# would run it. What it may ask for is what compilers call by themselves: no OpenMP, no C++ runtime, no libm.

cmake_minimum_required(VERSION 3.20)
set(allowed memcpy memset memmove _GLOBAL_OFFSET_TABLE_)
string(LENGTH ${ISA} length)
set(table _ZN8fusedrnn${length}${ISA}7kernelsE)

execute_process(COMMAND ${NM} -P ${OBJECTS} OUTPUT_VARIABLE lines RESULT_VARIABLE result)
if(NOT result STREQUAL "0")
  message(FATAL_ERROR "${NM} ${OBJECTS}: ${result}")
endif()
string(REPLACE "\n" ";" lines "${lines}")

set(defined "")
set(wrong "")
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^([^ ]+) ([A-Za-z])( |$)")
    continue()
  endif()
  set(name ${CMAKE_MATCH_1})
  set(type ${CMAKE_MATCH_2})
  if(type STREQUAL "U")
    if(NOT name IN_LIST allowed)
      string(APPEND wrong "  ${name} is called\n")
    endif()
  elseif(type MATCHES "[VvWwui]")
    string(APPEND wrong "  ${name} is weak or unique (${type})\n")
  elseif(type MATCHES "[A-Z]")
    list(APPEND defined ${name})
  endif()
endforeach()
if(NOT defined STREQUAL table)
  string(APPEND wrong "  defined: '${defined}', expected only ${table}\n")
endif()
if(wrong)
  message(FATAL_ERROR "${OBJECTS}:\n${wrong}")
endif()
message("${ISA}: ${table} and nothing else")
