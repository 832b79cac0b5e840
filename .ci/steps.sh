# Steps of a CI run: announced, timed, their output in order, all of them run even when one fails; a table at the end.
# Sourced by .ci/run.

step_names=()
step_results=()
step_seconds=()

# step "what it shows" command [argument...]; the command may be a function. A failing line ends the step, not the run.
step() {
  local name=$1 started=$SECONDS code
  shift
  printf '\n=== %s\n' "$name"
  set +e
  (
    set -euo pipefail
    "$@"
  ) 2>&1
  code=$?
  set -e
  local seconds=$((SECONDS - started))
  step_names+=("$name")
  step_seconds+=("$seconds")
  if [ "$code" -eq 0 ]; then step_results+=(passed); else step_results+=(FAILED); fi
  printf '=== %s: %s in %d s\n' "$name" "${step_results[-1]}" "$seconds"
}

# The table, then "N passed, N failed"; the exit code of the run.
finish_steps() {
  local i passed=0 failed=0
  printf '\n=== Summary\n'
  for i in "${!step_names[@]}"; do
    printf '%-6s %5d s  %s\n' "${step_results[i]}" "${step_seconds[i]}" "${step_names[i]}"
    if [ "${step_results[i]}" = passed ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  done
  printf '%6s %5d s  in all\n' '' "$SECONDS"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
