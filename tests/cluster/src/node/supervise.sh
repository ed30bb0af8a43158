# Runs a cluster of one node until standard input closes, which is when its owner ends, however it ends.
# supervise.sh STATE CGROUP; the environment is that of init.sh. Each start tells the owner the process id of PID 1.
state=$1 cgroup=$2
exec 3<&0 </dev/null
remove_cgroups() {
  left=100
  while ls -d /sys/fs/cgroup/*/"$cgroup" && [ "$left" -gt 0 ]; do
    find /sys/fs/cgroup/*/"$cgroup" -depth -type d -exec rmdir {} + || sleep 0.1
    left=$((left - 1))
  done
} >/dev/null 2>&1
again=3 status=$again
while [ "$status" = "$again" ]; do
  for controller in /sys/fs/cgroup/*/; do mkdir -p "$controller$cgroup"; done
  for file in cpuset.cpus cpuset.mems; do
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$cgroup/$file"
  done
  unshare --mount --pid --net --fork --kill-child --mount-proc bash "$state/init.sh" <&3 >>"$state/logs/init.log" 2>&1 &
  unshare=$!
  until child=$(pgrep -P "$unshare"); do kill -0 "$unshare" || break; sleep 0.01; done
  echo "$child"
  wait "$unshare"
  status=$?
  remove_cgroups
done
exec 3<&-
left=100
while rm -rf -- "$state" 2>/dev/null; [ -e "$state" ] && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
