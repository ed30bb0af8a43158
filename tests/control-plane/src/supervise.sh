# Runs a command, and ends it when standard input closes: supervise.sh LOG GRACE COMMAND…
# Standard input is a pipe that only the owner holds: it closes when the owner ends, however it ends.
# Standard output tells the owner two lines: the pid of the command, and its exit status as `$?` has it.
log=$1 tenths=$(($2 * 10))
shift 2
exec 3<&0 # a background job's own standard input is /dev/null
"$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "$child"
(
  while read -r _ <&3; do :; done
  kill -s TERM "$child"
  kill -s CONT "$child" # a stopped process would see TERM only then
  while [ "$tenths" -gt 0 ] && kill -s 0 "$child"; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  kill -s KILL "$child"
) >/dev/null 2>&1 &
watcher=$!
exec </dev/null 3<&-
wait "$child"
status=$?
kill -s KILL "$watcher" 2>/dev/null
echo "$status"
