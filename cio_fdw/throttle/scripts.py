"""The rules of `turns` as scripts that Redis runs, each in one step that nothing interrupts.

Keys, all of one hash slot, by their order in KEYS:

    q  waiting tickets by round          s  tickets by the time their turn was taken, of the last window
    l  waiting tickets by next look      i  tickets under way by the end of their lease
    f  flows by their next round         m  counters: ticket, round, paused

Times are milliseconds of Redis's own clock, which is the one clock that all servers share; it is no monotonic one.
Where it was set back, so that a turn lies ahead, all times are moved: that turn is one of now.
"""

from __future__ import annotations

KEYS = ("q", "l", "f", "s", "i", "m")
KEPT_S = 4 * 3600
"""Redis forgets a key that was not used this long; no pause lasts longer."""

_HEAD = """
local q, l, f, s, i, m = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function number(field) return tonumber(redis.call('HGET', m, field) or '0') end

local last = redis.call('ZRANGE', s, -1, -1, 'WITHSCORES')[2]
local ahead = last and last - now or 0
if ahead > 0 then
  for _, key in ipairs({s, l, i}) do
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ahead, member) end
  end
  if number('paused') > 0 then redis.call('HSET', m, 'paused', tostring(number('paused') - ahead)) end
end
"""

ASK = (
    _HEAD
    + """
local flow, owner, ticket = ARGV[1], ARGV[2], ARGV[3]
local given = {}
for n = 4, #ARGV do given[#given + 1] = tonumber(ARGV[n]) end
local round, rate, most, lease, window, near, busy, slice, longest, grace, kept = unpack(given)

redis.call('ZREMRANGEBYSCORE', s, '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', i, '-inf', now)
for _, late in ipairs(redis.call('ZRANGEBYSCORE', l, '-inf', now - grace)) do
  if late ~= ticket then redis.call('ZREM', q, late) end
  redis.call('ZREM', l, late)
end
if ticket == '' then
  ticket = string.format('%016d', redis.call('HINCRBY', m, 'ticket', 1)) .. '|' .. owner
  round = math.max(number('round') + 1, tonumber(redis.call('ZSCORE', f, flow) or '0'))
  redis.call('ZADD', f, round + 1, flow)
end
redis.call('ZADD', q, round, ticket)

local index = redis.call('ZRANK', q, ticket)
local count = redis.call('ZCARD', s)
local oldest = math.min(count - rate + index, count - 1)
local due = number('paused')
if oldest >= 0 then due = math.max(due, redis.call('ZRANGE', s, oldest, oldest, 'WITHSCORES')[2] + window) end
local delay = 0
local is_busy = 0
if due > now then
  delay = math.min(due - now, slice * (index + 1))
elseif redis.call('ZCARD', i) >= most then
  delay = busy * (index + 1)
  is_busy = 1
elseif index > 0 then
  delay = near * (index + 1)
else
  redis.call('ZREM', q, ticket)
  redis.call('ZREM', l, ticket)
  round = math.max(number('round'), round)
  redis.call('HSET', m, 'round', round)
  redis.call('ZREMRANGEBYSCORE', f, '-inf', round + 1)
  redis.call('ZADD', s, now, ticket)
  redis.call('ZADD', i, now + lease, ticket)
end
if delay > 0 then
  delay = math.max(math.min(delay, longest), 0.001)
  redis.call('ZADD', l, now + delay, ticket)
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, kept) end
return {ticket, tostring(round), tostring(delay), is_busy}
"""
)
"""ticket, round, milliseconds until the next look (0: the turn is taken), whether slots are lacking."""

LEAVE = (
    _HEAD
    + """
redis.call('ZREM', q, ARGV[2])
redis.call('ZREM', l, ARGV[2])
redis.call('ZADD', f, math.min(tonumber(ARGV[3]), number('round') + 1), ARGV[1])
"""
)
FORGET = (
    _HEAD
    + """
for _, set in ipairs({q, i}) do
  for _, ticket in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    if string.sub(ticket, -#ARGV[1]) == ARGV[1] then
      redis.call('ZREM', q, ticket)
      redis.call('ZREM', l, ticket)
      redis.call('ZREM', i, ticket)
    end
  end
end
"""
)
"""Ends whatever belongs to a wait, which is known by the end of its tickets."""
RENEW = (
    _HEAD
    + """
local ticket, lease, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local taken, held = redis.call('ZSCORE', s, ticket), redis.call('ZSCORE', i, ticket)
if not taken or tonumber(taken) <= now - window then return 0 end
if not held or tonumber(held) <= now or number('paused') > now then return 0 end
redis.call('ZADD', s, now, ticket)
redis.call('ZADD', i, now + lease, ticket)
return 1
"""
)
"""1 when the turn is one of now; 0 when it or its lease is over."""
LEFT_LATE = _HEAD + "redis.call('ZADD', s, now, ARGV[1])"
RELEASE = _HEAD + "for _, ticket in ipairs(ARGV) do redis.call('ZREM', i, ticket) end"
PAUSE = (
    _HEAD
    + """
redis.call('HSET', m, 'paused', tostring(math.max(number('paused'), now + tonumber(ARGV[1]))))
redis.call('EXPIRE', m, tonumber(ARGV[2]))
"""
)
HOLDERS = _HEAD + "return redis.call('ZRANGE', i, 0, -1)"
USAGE = (
    _HEAD
    + """
return {
  redis.call('ZCOUNT', s, '(' .. (now - 1000), '+inf'),
  redis.call('ZCOUNT', i, now, '+inf'),
  redis.call('ZCOUNT', l, now - tonumber(ARGV[1]), '+inf'),
  tostring(math.max(number('paused') - now, 0)),
}
"""
)
