-- (What follows is templates/lease.lua of Trunkline: the leases.)
--
-- What the agent sets in HAProxy and would stay is noted here, and undone when the agent is heard of no more.
--
--   trunkline lease MS              renew the lease for so long, 0 ends it; says who waits and what is noted
--   trunkline stick P/S WHAT        set and note it: checks (suspended), drain, maint; needs a lease
--   trunkline unstick P/S WHAT      undo it and forget it
--   trunkline stuck                 the same answer as to `lease`, and nothing is renewed
--
-- A server that is in drain or maint without a note was set by hand: it is left alone, and so is what somebody has
-- changed since it was noted. A worker that starts knows of no notes, and its servers are as the configuration says.

local MOST_MS = 5000
local LOOK_MS = 100
local notes = {}               -- "proxy/server what" -> { proxy, server, what }
local ends_at = 0              -- of the lease, in ms of core.now()

-- HAProxy 2.6 answers with a number, and 0 is true in Lua.
local function is_draining(server)
  local answer = server:is_draining()
  return answer == true or answer == 1
end

local function find(target)
  local proxy, name = target:match("^([^/]+)/([^/]+)$")
  local backend = proxy and core.backends[proxy]
  return backend and backend.servers[name], proxy, name
end

local function is_in(server, word)
  return server:get_stats().status:match("^" .. word) ~= nil
end

-- What each kind of note does, how it is undone, and whether it is still as we have set it.
local KINDS = {
  checks = {
    set = function(server) server:check_disable() end,
    undo = function(server) server:check_enable() end,
    is_ours = function() return true end,
  },
  drain = {
    set = function(server) server:set_drain() end,
    undo = function(server) server:set_ready() end,
    is_ours = function(server) return is_draining(server) and not is_in(server, "MAINT") end,
  },
  maint = {
    set = function(server) server:set_maint() end,
    undo = function(server)
      server:set_ready()
      server:check_force_down()   -- nobody is sent to a server that was not asked yet
    end,
    is_ours = function(server) return is_in(server, "MAINT") end,
  },
}

local function undo(key)
  local note = notes[key]
  notes[key] = nil
  local backend = core.backends[note.proxy]
  local server = backend and backend.servers[note.server]
  if server and KINDS[note.what].is_ours(server) then KINDS[note.what].undo(server) end
end

local function undo_all()
  for key in pairs(notes) do undo(key) end
end

-- Whoever set it is gone: it is undone.
core.register_task(function()
  while true do
    core.msleep(LOOK_MS)
    if next(notes) and now_ms() >= ends_at then undo_all() end
  end
end)

local function report(applet)
  local info = core.get_info()
  applet:send("pid " .. info.Pid .. "\nstopping " .. (tonumber(info.Stopping) == 1 and 1 or 0) .. "\n")
  for _, note in pairs(notes) do
    applet:send("stuck " .. note.proxy .. " " .. note.server .. " " .. note.what .. "\n")
  end
  for proxy, lot in pairs(parked) do
    local now, longest_ms = now_ms(), 0
    sweep(lot, now)
    for ticket in pairs(lot.seen) do longest_ms = math.max(longest_ms, now - (lot.since[ticket] or now)) end
    applet:send("held " .. proxy .. " " .. lot.count .. " " .. math.floor(longest_ms) .. "\n")
  end
  applet:send("\n")
end

local function refuse(applet, why)
  applet:send("refused: " .. why .. "\n\n")
end

core.register_cli({ "trunkline", "lease" }, "trunkline lease MS    renew the lease of what sticks", function(applet, _, _, text)
  local ms = tonumber(text)
  if not ms or ms < 0 or ms > MOST_MS then return refuse(applet, "a lease has from 0 to " .. MOST_MS .. " ms") end
  ends_at = now_ms() + ms
  if ms == 0 then undo_all() end
  report(applet)
end)

core.register_cli({ "trunkline", "stuck" }, "trunkline stuck    what is leased", report)

core.register_cli({ "trunkline", "stick" }, "trunkline stick PROXY/SERVER checks|drain|maint", function(applet, _, _, target, what)
  local server, proxy, name = find(target or "")
  local kind = KINDS[what or ""]
  if not server then return refuse(applet, "there is no server " .. tostring(target)) end
  if not kind then return refuse(applet, "it is checks, drain or maint, and not " .. tostring(what)) end
  if now_ms() >= ends_at then return refuse(applet, "there is no lease") end
  local key = target .. " " .. what
  if not notes[key] then
    for _, word in pairs({ "drain", "maint" }) do
      if KINDS[word].is_ours(server) and not notes[target .. " " .. word] then
        return refuse(applet, target .. " was set to " .. word .. " by hand")
      end
    end
    kind.set(server)
    notes[key] = { proxy = proxy, server = name, what = what }
  end
  applet:send("\n")
end)

core.register_cli({ "trunkline", "unstick" }, "trunkline unstick PROXY/SERVER checks|drain|maint", function(applet, _, _, target, what)
  local key = tostring(target) .. " " .. tostring(what)
  if not notes[key] then return refuse(applet, key .. " is not leased") end
  undo(key)
  applet:send("\n")
end)
