-- Trunkline's part inside HAProxy: it parks clients while nobody can serve them, refuses in PostgreSQL's own
-- words, and passes cancel requests on. It sees a client's first bytes at most, never a session's traffic.
--
--   tcp-request content lua.hold PROXY one|any FALLBACK|- TIMEOUT_MS UNREACHED_MS MAX_HELD BELL|- "WHY REFUSED"
--   tcp-request content use-service lua.refuse if { var(txn.refused) -m found }
--   tcp-request content use-service lua.cancel if { <the first 8 bytes are a CancelRequest's> }
--   echo "trunkline held" | socat stdio ADMIN_SOCKET         one line a proxy: its name, clients parked there
--   trunkline added PROXY/SERVER ADDRESS:PORT, trunkline removed PROXY/SERVER     members that come and go, see unseen
--
-- It reads txn.proxy (whose servers get a cancel request) and sets txn.held_ms (how long the client waited),
-- txn.refused (why it must go) and txn.fallback (PROXY has nobody, FALLBACK has).
-- BELL is for HAProxy before 2.8, see wait_for_bell.
-- Loaded with lua-load, once for all threads: the counters are exact, and the code runs a few microseconds
-- for each new connection.

local FRESH_MS = 5             -- how long one look at a backend serves all who wait
local POLL_MIN_MS, POLL_MAX_MS = 5, 100
local TURN_MS, TURNS_MS = 4, 100
local HEARTBEAT_MS = 250       -- how long a change may go unnoticed that is none of a server's health
local SWEEP_MS = 5000
local CANCEL_TIMEOUT_S = 1
local BELL_TIMEOUT_S = 2
local SILENT = { L4CON = true, L4TOUT = true, L6TOUT = true, L7TOUT = true, SOCKERR = true }
local CANNOT_CONNECT_NOW = "57P03"
local SSL_REQUEST, GSSENC_REQUEST = 80877103, 80877104

local parked = {}              -- proxy -> { count, first, last, since, seen, swept, let_go, line }: see parked_at
local looks = {}               -- proxy -> { at = ms, active = servers that take new sessions, nil for in doubt }
local stopping = { at = 0, yes = false }
local bells = { next_turn = 0, longest = 0 }     -- the line of those who wait for a bell, see turn_ms
local unseen = {}              -- proxy -> { server -> address }: HAProxy 2.6 shows Lua no server that was added to it

-- What its last check said of a server: "L7OK", "L4CON", "INI" before the first one, "" where there is none.
local function last_check(stats)
  return ((stats.check_status or ""):gsub("^%* ", ""))
end

-- A server that may be lost with the next check, and not for its API's silence: one that two answers spoke against, or
-- one that came back from maintenance and counts as up until it is asked. It is not cut off, and gets nobody new.
local function is_doubtful(stats)
  return stats.status:match("^UP [01]/") ~= nil and not SILENT[last_check(stats)]
end

-- The servers of PROXY that take new sessions; the backup that leads to the holding frontend does not count.
-- Nil while one of them is doubtful. AGE_MS is how old the answer may be.
local function active(proxy, age_ms)
  local look, now = looks[proxy], now_ms()
  if not look then
    look = { at = 0 }
    looks[proxy] = look
  end
  if now - look.at >= age_ms then
    local backend = core.backends[proxy]
    look.at, look.active = now, backend:get_stats().act
    for name, server in pairs(backend.servers) do
      local stats = server:get_stats()
      if is_doubtful(stats) then look.active = nil end
      give_share(proxy, name, server, stats, now)
    end
  end
  return look.active
end

-- Whether some member was not asked yet, and whether none of those that were asked could be reached. Nobody knows of
-- those that are not seen.
local function verdicts(proxy)
  local is_judged, is_reached, is_failed = true, next(unseen[proxy] or {}) ~= nil, false
  for _, server in pairs(core.backends[proxy].servers) do
    local status = last_check(server:get_stats())
    if status == "INI" or status == "UNK" then
      is_judged = false
    elseif status:match("^L4") or status == "SOCKERR" then
      is_failed = true
    elseif status ~= "" then
      is_reached = true
    end
  end
  return is_judged, is_failed and not is_reached
end

-- A worker that a reload left behind is no longer told how its servers are.
local function is_left_behind()
  local now = now_ms()
  if now - stopping.at >= POLL_MAX_MS then
    stopping.at, stopping.yes = now, tonumber(core.get_info().Stopping) == 1
  end
  return stopping.yes
end

-- Who is parked in front of PROXY, by ticket: `since` when, `seen` when there was a last sign of life. Tickets count up,
-- and `first` is not above any that is valid. HAProxy may let others go on in the middle of any loop: none here goes
-- through a table with pairs while others fill it. `let_go`: who has waited and waits no more, until somebody asks.
local function parked_at(proxy)
  local lot = parked[proxy]
  if not lot then
    lot = { count = 0, first = 1, last = 0, since = {}, seen = {}, swept = 0, let_go = { count = 0, longest_ms = 0 } }
    lot.line = { next_turn = 0, longest = 0 }
    parked[proxy] = lot
  end
  return lot
end

local function sign_of_life(lot, ticket, since, now)
  if not lot.seen[ticket] then
    lot.count, lot.first = lot.count + 1, math.min(lot.first, ticket)
  end
  lot.since[ticket], lot.seen[ticket] = since, now
end

local function leave(lot, ticket)
  if lot.seen[ticket] then
    lot.let_go.count = lot.let_go.count + 1
    lot.let_go.longest_ms = math.max(lot.let_go.longest_ms, lot.seen[ticket] - lot.since[ticket])
    lot.count, lot.since[ticket], lot.seen[ticket] = lot.count - 1, nil, nil
  end
end

-- Since when the one waits who waits longest, nil where nobody does.
local function first_since(lot)
  while lot.first <= lot.last and not lot.seen[lot.first] do lot.first = lot.first + 1 end
  return lot.since[lot.first]
end

-- Sessions that are shut down from outside never say goodbye: whoever gave no sign of life for long is gone.
local function sweep(lot, now)
  if now - lot.swept < SWEEP_MS then return end
  lot.swept = now
  for ticket = lot.first, lot.last do
    local seen = lot.seen[ticket]
    if seen and now - seen > SWEEP_MS then leave(lot, ticket) end
  end
  first_since(lot)
end

-- The more are waiting, the less often each looks: release takes at most POLL_MAX_MS, the work stays bounded.
local function poll_ms(count)
  return math.max(POLL_MIN_MS, math.min(POLL_MAX_MS, count // 10))
end

local function parked_everywhere()
  local count = 0
  for _, lot in pairs(parked) do count = count + lot.count end
  return count
end

-- How long one who may go on leaves the way to others: those that are let in together log in together, and compete for
-- the same processors. One after the other, the first is served sooner, and the last no later. All within TURNS_MS.
local function turn_ms(line, count)
  local now = now_ms()
  if line.next_turn <= now or line.next_turn > now + TURNS_MS then line.next_turn, line.longest = now, 1 end
  line.longest = math.max(line.longest, count)
  local turn = line.next_turn
  line.next_turn = turn + math.min(TURN_MS, TURNS_MS / line.longest)
  return math.floor(turn - now)
end

-- Whether so many servers may serve; two that both claim to be the primary may not.
local function is_enough(hold, count)
  return count == 1 or (count ~= nil and count > 1 and hold.admits == "any")
end

-- What to do with a client now: "serve", "fallback", "wait", or why it is refused.
local function decide(hold, waited_ms)
  local count = active(hold.proxy, FRESH_MS)
  if is_enough(hold, count) then count = active(hold.proxy, 0) end
  if is_enough(hold, count) then return "serve" end
  if hold.fallback and count == 0 then
    if verdicts(hold.proxy) and active(hold.fallback, 0) == 1 then return "fallback" end
  end
  -- With no server left the backup leads on to the worker that took over.
  if count == 0 and is_left_behind() then return "serve" end
  local is_expired, is_late = waited_ms >= hold.timeout_ms, waited_ms >= hold.unreached_ms
  if is_expired or is_late then
    local is_judged, is_unreached = verdicts(hold.proxy)
    if is_late and is_judged and is_unreached then return "unreached" end
    if is_expired and (is_judged or is_late) then return "expired" end
  end
  return "wait"
end

-- A line for each change of the servers that anybody waits for, and one each HEARTBEAT_MS.
local function ring(applet)
  local known, rung = {}, now_ms()
  while true do
    local count = parked_everywhere()
    core.msleep(poll_ms(count))
    local is_due, has_changed = now_ms() - rung >= HEARTBEAT_MS, false
    for proxy in pairs(looks) do
      local now_active = active(proxy, FRESH_MS)
      has_changed = has_changed or known[proxy] ~= now_active
      known[proxy] = now_active
    end
    if has_changed then
      local pause_ms = turn_ms(bells, count)
      if pause_ms > 0 then core.msleep(pause_ms) end
    end
    if is_due or has_changed then
      applet:send("\n")
      rung = now_ms()
    end
  end
end

core.register_service("bell", "tcp", ring)

-- Before 2.8 an action that sleeps by the clock can lose its wake-up: when HAProxy was busy for longer than the sleep,
-- the expired timer is dropped, and the client would wait on. What comes in on a socket is never lost. From 2.8 the
-- clock is reliable, and such a socket would outlive its worker and break `show sess all`.
local function wait_for_bell(socket, address)
  local line = socket and socket:receive("*l")
  if line then return socket end
  if socket then socket:close() end
  socket = core.tcp()
  socket:settimeout(BELL_TIMEOUT_S)
  if socket:connect(address) then return socket end
  socket:close()
  core.msleep(POLL_MAX_MS)
end

-- Park a client until something is decided about it; "gone" when it left meanwhile.
local function park(txn, hold)
  local lot = parked_at(hold.proxy)
  sweep(lot, now_ms())
  if lot.count >= hold.max_held then return "full" end
  lot.last = lot.last + 1
  local ticket, since, verdict, bell = lot.last, now_ms(), "wait", nil
  local pause_ms, has_turn = poll_ms(lot.count), hold.bell ~= nil     -- the bell rings for one after the other
  sign_of_life(lot, ticket, since, since)
  while verdict == "wait" do
    if hold.bell then
      bell = wait_for_bell(bell, hold.bell)
    else
      core.msleep(pause_ms)
    end
    local now = now_ms()
    sign_of_life(lot, ticket, since, now)
    sweep(lot, now)
    verdict = txn.req:may_recv() and decide(hold, now - since) or "gone"
    pause_ms = poll_ms(lot.count)
    if verdict == "serve" and not has_turn then
      pause_ms, has_turn = turn_ms(lot.line, lot.count), true
      if pause_ms > 0 then verdict = "wait" end
    elseif verdict == "wait" and not hold.bell then
      has_turn = false
    end
  end
  if bell then bell:close() end
  leave(lot, ticket)
  txn:set_var("txn.held_ms", math.floor(now_ms() - since))
  return verdict
end

local function hold_client(txn, proxy, admits, fallback, timeout_ms, unreached_ms, max_held, bell, refusal)
  local hold = {
    proxy = proxy,
    admits = admits,
    fallback = fallback ~= "-" and fallback or nil,
    timeout_ms = tonumber(timeout_ms),
    unreached_ms = tonumber(unreached_ms),
    max_held = tonumber(max_held),
    bell = bell ~= "-" and bell or nil,
  }
  local verdict = decide(hold, 0)
  if verdict == "wait" then verdict = park(txn, hold) end
  if verdict == "serve" then return end
  if verdict == "gone" then
    txn:done()
  elseif verdict == "fallback" then
    txn:set_var("txn.fallback", true)
  elseif verdict == "full" then
    txn:set_var("txn.refused", "no server is available, and no more clients may wait for one")
  elseif verdict == "unreached" then
    txn:set_var("txn.refused", "this load balancer reaches no member of the cluster")
  else
    txn:set_var("txn.refused", refusal)
  end
end

core.register_action("hold", { "tcp-req" }, hold_client, 8)

-- The answer to a client that cannot be served: a PostgreSQL error, on which clients with several hosts go on to
-- the next one; an accepted and closed connection would end their search.
local function refuse(applet)
  while true do
    local header = applet:receive(8)
    if #header < 8 then return end
    local length, code = string.unpack(">I4I4", header)
    if code ~= SSL_REQUEST and code ~= GSSENC_REQUEST then break end
    applet:send("N")
  end
  local fields = "SFATAL\0VFATAL\0C" .. CANNOT_CONNECT_NOW .. "\0M" .. applet:get_var("txn.refused") .. "\0\0"
  applet:send("E" .. string.pack(">I4", #fields + 4) .. fields)
end

core.register_service("refuse", "tcp", refuse)

-- Send PACKET to one server and wait until it has closed: by then PostgreSQL has acted on it.
local function deliver(address, packet)
  local socket = core.tcp()
  socket:settimeout(CANCEL_TIMEOUT_S)
  local host, port = address:match("^%[?(.-)%]?:(%d+)$")
  if socket:connect(host, tonumber(port)) then
    socket:send(packet)
    socket:receive(1)
  end
  socket:close()
end

local function addresses_of(proxy)
  local addresses = {}
  for _, server in pairs(core.backends[proxy].servers) do addresses[#addresses + 1] = server:get_addr() end
  for _, address in pairs(unseen[proxy] or {}) do addresses[#addresses + 1] = address end
  return addresses
end

-- A cancel request is a connection of its own and bears a secret number, not the name of a server: every member
-- gets it, and the one that knows the number acts on it.
local function cancel(applet)
  local packet = applet:receive(16)
  if #packet < 16 then return end
  local waiting = 0
  for _, address in ipairs(addresses_of(applet:get_var("txn.proxy"))) do
    if address:match(":%d+$") then
      waiting = waiting + 1
      core.register_task(function()
        pcall(deliver, address, packet)
        waiting = waiting - 1
      end)
    end
  end
  while waiting > 0 do core.msleep(POLL_MIN_MS) end
end

core.register_service("cancel", "tcp", cancel)

core.register_cli({ "trunkline", "held" }, "trunkline held    clients parked in front of each proxy", function(applet)
  for proxy, lot in pairs(parked) do
    sweep(lot, now_ms())
    applet:send(proxy .. " " .. lot.count .. "\n")
  end
  applet:send("\n")
end)

-- Who adds or removes a server says so on the same line; what is seen anyway need not be kept.
local function note_server(applet, target, address)
  local proxy, name = (target or ""):match("^([^/]+)/([^/]+)$")
  local backend = core.backends[proxy or ""]
  if not backend then
    applet:send("refused: there is no proxy of " .. tostring(target) .. "\n\n")
  else
    unseen[proxy] = unseen[proxy] or {}
    unseen[proxy][name] = not backend.servers[name] and address or nil
    if not address and shares[proxy] then shares[proxy][name] = nil end
    applet:send("done\n\n")
  end
end

core.register_cli({ "trunkline", "added" }, "trunkline added PROXY/SERVER ADDRESS:PORT", function(applet, _, _, target, address)
  note_server(applet, target, address)
end)

core.register_cli({ "trunkline", "removed" }, "trunkline removed PROXY/SERVER", function(applet, _, _, target)
  note_server(applet, target, nil)
end)
