# PID 1 of a cluster of one node, in pid, mount and network namespaces of its own. When it ends, the kernel ends all the others.
# Standard input is the owner's: archives of images to load, one a line, and an empty line after the last; later the line `restart`,
# which ends everything and starts it again on what is stored, as a reboot does. Its end ends the cluster. STATE, CGROUP, PROGRAMS and CNI come from the owner.
set -e
export PATH=$PROGRAMS:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
address=10.99.0.1
cd "$STATE"

mount --make-rshared /
for directory in /run /var/log /var/lib; do mount -t tmpfs tmpfs $directory; done # hides the machine's own
mkdir -p kubelet podlogs cni /run/sysctl
# The kubelet sets three sysctls of the whole machine, unless they have its values already: it is shown files that do.
for sysctl in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
  file=/run/sysctl/${sysctl##*/}
  echo "${sysctl#*=}" >"${file%=*}"
  mount --bind "${file%=*}" "/proc/sys/${sysctl%=*}"
done

# Not every kernel has dummy devices; a pair of veth carries the node's address as well.
ip link set lo up
ip link add node0 type veth peer name node0p
ip link set node0p up
ip link set node0 up
ip addr add $address/24 dev node0
ip route add default via 10.99.0.254
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 # of this network namespace

cat >cni/10.conflist <<E
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "/run/ipam", "ranges": [[{"subnet": "10.98.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
E
cat >containerd.toml <<E
version = 3
root = '$STATE/containerd'
state = '/run/containerd'
disabled_plugins = ['io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.erofs', 'io.containerd.nri.v1.nri']
[grpc]
address = '/run/containerd.sock'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'snaphook.test/pause:1'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true # CAP_SYS_RESOURCE may be missing
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['$CNI']
conf_dir = '$STATE/cni'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = '$(command -v runc)'
SystemdCgroup = false
E
cat >kubelet.yaml <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $address
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/kubelet-client.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
syncFrequency: 2s # a changed Secret reaches its mount within seconds; by default within a minute and more
clusterDNS: [$address]
clusterDomain: cluster.local
resolvConf: /run/resolv.conf
podLogsDir: $STATE/podlogs
imageGCHighThresholdPercent: 100 # what is not used yet cannot be pulled again
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}
E
cat >Corefile <<E
.:53 {
  bind $address
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $STATE/kubeconfig
  }
}
E
echo "nameserver $address" >/run/resolv.conf
if [ ! -e tokens.csv ]; then
  openssl genrsa -out accounts.key 2048 2>>logs/openssl.log
  openssl req -x509 -newkey rsa:2048 -nodes -subj /O=system:masters/CN=apiserver -keyout kubelet-client.key -out kubelet-client.crt 2>>logs/openssl.log
  admin=$(openssl rand -hex 32) node=$(openssl rand -hex 32)
  kubeconfig() {
    cat >"$1" <<E
apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: "https://$address:6443", certificate-authority: "$STATE/api/apiserver.crt"}}]
users: [{name: user, user: {token: $2}}]
contexts: [{name: cluster, context: {cluster: cluster, user: user}}]
current-context: cluster
E
  }
  kubeconfig kubeconfig "$admin"
  kubeconfig node.kubeconfig "$node"
  printf '%s,admin,admin,system:masters\n%s,system:node:node,node,system:nodes\n' "$admin" "$node" >tokens.csv
fi

start() {
  name=$1
  shift
  "$@" </dev/null >>"logs/$name.log" 2>&1 &
}
start etcd etcd --data-dir etcd --unsafe-no-fsync --log-level warn
start apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir api --bind-address 0.0.0.0 --advertise-address $address \
  --token-auth-file tokens.csv --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file accounts.key --service-account-signing-key-file accounts.key \
  --service-cluster-ip-range 10.0.0.0/24 --kubelet-preferred-address-types InternalIP \
  --kubelet-client-certificate kubelet-client.crt --kubelet-client-key kubelet-client.key
start containerd containerd --config containerd.toml
until ctr --address /run/containerd.sock version; do sleep 0.1; done >/dev/null 2>&1
while read -r image && [ -n "$image" ]; do
  ctr --address /run/containerd.sock --namespace k8s.io images import "$image" >>logs/images.log
  rm "$image"
done
until kubectl --kubeconfig kubeconfig get --raw /readyz; do sleep 0.1; done >/dev/null 2>&1
identity="--kubeconfig kubeconfig --authentication-kubeconfig kubeconfig --authorization-kubeconfig kubeconfig --authentication-skip-lookup"
start controller-manager kube-controller-manager $identity --bind-address 127.0.0.1 --leader-elect=false \
  --service-account-private-key-file accounts.key --root-ca-file api/apiserver.crt --pvclaimbinder-sync-period 1s --controllers='*'
start scheduler kube-scheduler $identity --bind-address 127.0.0.1 --leader-elect=false
start kubelet kubelet --config kubelet.yaml --kubeconfig node.kubeconfig --root-dir "$STATE/kubelet" --hostname-override node --node-ip $address
start proxy kube-proxy --kubeconfig kubeconfig --proxy-mode nftables --hostname-override node --cluster-cidr 10.98.0.0/24 --conntrack-max-per-core 0
start dns coredns -conf Corefile

read -r command || exit 0
[ "$command" = restart ] && exit 3
