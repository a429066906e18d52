/**
 * The writes of the spool. Each is one script, so that an entry, the mark of its request and the counts are there together or not at all.
 * KEYS: the lane's entries, marks, counts. A mark says under which id the last entry of its name is, and what it is: `HASH@ID`.
 */

/** ARGV: kind, name, hash, body, the most bytes that what is asked from outside may have together; empty for what ends an attempt. */
export const putEntry = `
  local kind, name, hash, body, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  if most ~= "" then
    local known = redis.call("hget", KEYS[2], name)
    if known and string.sub(known, 1, #hash) == hash then return "known" end
    if known then return "conflict" end
    local held = tonumber(redis.call("hget", KEYS[3], "bytes") or "0")
    if held + #body > tonumber(most) then return "full" end
    redis.call("hincrby", KEYS[3], "bytes", #body)
  end
  local id = redis.call("xadd", KEYS[1], "*", "kind", kind, "name", name, "body", body)
  redis.call("hset", KEYS[2], name, hash .. "@" .. id)
  redis.call("hincrby", KEYS[3], kind, 1)
  return "kept"`;

/** ARGV: ids. */
export const removeEntries = `
  for _, id in ipairs(ARGV) do
    local found = redis.call("xrange", KEYS[1], id, id)[1]
    if found then
      local kind, name, body = found[2][2], found[2][4], found[2][6]
      redis.call("xdel", KEYS[1], id)
      redis.call("hincrby", KEYS[3], kind, -1)
      local mark = redis.call("hget", KEYS[2], name)
      if mark and string.sub(mark, -#id - 1) == "@" .. id then redis.call("hdel", KEYS[2], name) end
      if kind ~= "finish" and kind ~= "release" then redis.call("hincrby", KEYS[3], "bytes", -#body) end
    end
  end`;

/** KEYS: the lock. ARGV: who holds it, ms. */
export const prolongLock = `
  if redis.call("get", KEYS[1]) ~= ARGV[1] then return 0 end
  return redis.call("pexpire", KEYS[1], ARGV[2])`;

/** KEYS: the lock. ARGV: who holds it. */
export const releaseLock = `
  if redis.call("get", KEYS[1]) == ARGV[1] then redis.call("del", KEYS[1]) end`;
