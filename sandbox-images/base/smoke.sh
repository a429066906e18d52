# Holds for every image. Run as a task would be: no privileges, a user without a name, a read-only root.
fail() { echo "smoke test: $*" >&2; exit 1; }

[ "$(stat -c '%u:%a' /sbin/sandbox-init)" = 0:755 ] || fail "/sbin/sandbox-init is not root's, or not 0755"
for name in passwd group; do
  [ "$(readlink /etc/$name)" = /run/toolx/$name ] || fail "/etc/$name is not a link into /run/toolx"
  [ -s /usr/share/toolx/$name ] || fail "/usr/share/toolx/$name is missing"
done
for dir in /workspace /tmp /output /run/toolx; do
  [ -d $dir ] || fail "$dir is missing"
done

raised=$(find / -xdev -type f -perm /6000 2>/dev/null || true)
[ -z "$raised" ] || fail "setuid or setgid files: $raised"
extra=$(find /usr/local/share/ca-certificates -type f 2>/dev/null || true)
[ -z "$extra" ] || fail "CA certificates of the build: $extra"
for program in gcc cc sshd sudo; do
  if command -v $program >/dev/null; then fail "$program is not wanted here"; fi
done

: >/workspace/file || fail "/workspace is not writable"
if (: >/etc/file) 2>/dev/null; then fail "/etc is writable"; fi
