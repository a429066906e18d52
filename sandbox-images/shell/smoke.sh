for program in bash bc bunzip2 curl diff file find gawk git grep gzip jq less openssl patch ps sed tar unzip wget xz zip; do
  command -v $program >/dev/null || fail "$program is missing"
done

cd /workspace
[ "$(echo '{"a":[1,2]}' | jq -c .a)" = '[1,2]' ] || fail "jq"
git init --quiet repo
echo hello >repo/file
git -C repo add file
git -C repo -c user.name=t -c user.email=t@example.invalid commit --quiet -m first
[ "$(git -C repo log --oneline | wc -l)" = 1 ] || fail "git"
tar -cJf repo.tar.xz repo
zip -qr repo.zip repo
unzip -tq repo.zip >/dev/null || fail "zip"
curl --version >/dev/null || fail "curl"
