#!/bin/sh
# The real guard among odd surroundings: streams that are closed, signals for others, its files taken away, a log that is no file, tiny limits.
# Runs in native/.
set -u
guard=build/$(uname -m)/spark-guard
dir=$(mktemp -d)
number=0
guard_pid=
cleanup () {
  [ -z "$guard_pid" ] || kill -KILL "$guard_pid" 2>/dev/null
  rm -rf "$dir"
}
trap cleanup EXIT

result () { # RESULT WHAT
  number=$((number + 1))
  [ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}

# Makes directories of its own anew. The reserve is small, nothing is registered: it only watches.
begin () {
  rm -rf "$dir/run" "$dir/log"
  mkdir "$dir/run" "$dir/log"
}
arguments () { echo --run-dir "$dir/run" --log-dir "$dir/log" --reserve-bytes 1048576; }

# True within 10 s.
soon () {
  tries=0
  while [ $tries -lt 200 ]; do
    eval "$1" && return 0
    tries=$((tries + 1))
    sleep 0.05
  done
  return 1
}
ready () { soon "grep -q ready=1 '$dir/run/guard.state' 2>/dev/null"; }
finish () {
  kill -TERM "$guard_pid"
  wait "$guard_pid"
  status=$?
  guard_pid=
  return $status
}

begin
# shellcheck disable=SC2046
"$guard" $(arguments) <&- >&- 2>&- &
guard_pid=$!
ready
kill -HUP "$guard_pid"
finish &&
  [ ! -s "$dir/run/guard.lock" ] && [ -s "$dir/log/events.jsonl" ]
result $? "with no standard streams nothing is written into a file of its own"

begin
# shellcheck disable=SC2046
"$guard" $(arguments) 2>"$dir/said" &
guard_pid=$!
ready
for signal in USR1 USR2 ALRM VTALRM IO PWR XFSZ RTMIN; do kill -$signal "$guard_pid"; done
sleep 0.2
kill -0 "$guard_pid" && finish
result $? "signals that are not for it do not end it"

begin
# shellcheck disable=SC2046
"$guard" $(arguments) 2>"$dir/said" &
guard_pid=$!
ready
rm "$dir/run/guard.lock"
wait "$guard_pid"
status=$?
guard_pid=
grep -q 'guard.lock was removed or moved away under the guard: it ends' "$dir/said"
[ $? = 0 ] && [ $status = 1 ]
result $? "without its lock, by which it is seen, it ends, to be started again"

begin
mkfifo "$dir/log/events.jsonl"
# shellcheck disable=SC2046
"$guard" $(arguments) 2>"$dir/said" &
guard_pid=$!
ready && soon "grep -q 'cannot write events.jsonl' '$dir/said'"
seen=$?
finish && [ $seen = 0 ]
result $? "an event log that is no file keeps it from nothing, and is told"

begin
: >"$dir/run/tombstones"
# shellcheck disable=SC2046
(ulimit -S -s 128; exec "$guard" $(arguments) 2>"$dir/said") &
guard_pid=$!
ready
finish
result $? "a stack that is too small is made larger where that is allowed"
# shellcheck disable=SC2046
(ulimit -s 128; exec "$guard" $(arguments) 2>"$dir/said")
[ $? = 1 ] && grep -q 'may use 128 KiB of stack (ulimit -s), it needs 512: allow that' "$dir/said"
result $? "and where it is not, that is said"
# shellcheck disable=SC2046
(ulimit -n 16; exec "$guard" $(arguments) 2>"$dir/said")
[ $? = 1 ] && grep -q 'may have 16 files open (ulimit -n), it needs at least 64: allow that' "$dir/said"
result $? "too few descriptors are told as what they are"
echo "1..$number"
