-- (What follows is templates/lease.lua of Trunkline: the leases.)
--
-- What the agent sets in HAProxy and would stay is noted here, and undone when the agent is heard of no more.
--
--   trunkline lease MS              renew the lease for so long, 0 ends it; says who waits and what is noted
--   trunkline stick P/S WHAT        set and note it: checks (suspended), drain, maint; needs a lease
--   trunkline unstick P/S WHAT      undo it and forget it
--   trunkline stuck                 the same answer as to `lease`, and nothing is renewed
--   trunkline close P/S             like `set server P/S health down`, but its sessions end CLOSING_MS later: whoever is
--                                   being connected meanwhile finds its way to another server or to the hold
--
-- The answer to `stick`, `unstick` and `close` is "done". To the others it is lines, each a word and what belongs to it:
--
--   held PROXY COUNT MS             clients that wait, and how long the first of them has
--   closed PROXY                    its port refuses: see refuse.lua
--   released PROXY COUNT MS         clients that wait no more, and the longest wait of one: since the last `lease`
--   stuck PROXY SERVER WHAT         noted
--   pid 4711                        of this worker
--   stopping 0|1                    whether a reload has left it behind; the last line
--
-- Whatever is not done is one line, "refused: " and why. An empty line ends every answer.
--
-- A server that is in drain or maint without a note, or whose checks are suspended without one, was set by hand: it is
-- left alone, and so is what somebody has changed since it was noted. What cannot be seen is a hand that sets again what
-- is set already. A worker that starts knows of no notes, and its servers are as the configuration says.

local MOST_MS = 5000
local LOOK_MS = 100
local ASLEEP_MS = 1000
local LOOKS_AGAIN = 5
local CLOSING_MS = 50
local USAGE = "PROXY/SERVER checks|drain|maint"

local notes = {}               -- "proxy/server what" -> { target, proxy, server, what, is_done }
local undone = {}              -- "proxy/server" -> { note, was_maint, looks }: checks must run there again, see look_again
local ends_at = 0              -- of the lease, in ms of core.now()
local looked_at = now_ms()     -- when the task below has last looked after the notes

-- HAProxy 2.6 answers with a number, and 0 is true in Lua.
local function is_true(answer)
  return answer == true or answer == 1
end

local function find(proxy, name)
  if is_added(proxy, name) then return added_server(proxy, name) end
  local backend = core.backends[proxy]
  return backend and backend.servers[name]
end

local function is_stopping()
  return tonumber(core.get_info().Stopping) == 1
end

local function is_in_maint(server)
  return server:get_stats().status:match("^MAINT") ~= nil
end

-- Health checks that do not run have no result to show. In maintenance they rest anyway.
local function has_checks(server)
  return last_check(server:get_stats()) ~= ""
end

-- What each kind of note does and how it is undone; `is_set`: whether that is how the server is, by whomever.
local KINDS = {
  checks = {
    set = function(server)
      server:check_disable()
      -- A check that is under way still counts, and may have been the last one that was missing.
      local status = server:get_stats().status
      if status == "no check" or status == "DRAIN" then server:check_force_up() end
    end,
    undo = function(server) server:check_enable() end,
    is_set = function(server) return is_in_maint(server) or not has_checks(server) end,
  },
  drain = {
    set = function(server) server:set_drain() end,
    undo = function(server) server:set_ready() end,
    is_set = function(server) return is_true(server:is_draining()) and not is_in_maint(server) end,
  },
  maint = {
    set = function(server) server:set_maint() end,
    undo = function(server)
      -- A server that leaves maintenance counts as up. It leaves into a drain, and from there when it is down, so that
      -- nobody is sent to it before it was asked.
      server:set_drain()
      server:check_force_down()
      server:set_ready()
    end,
    is_set = is_in_maint,
  },
}

local function key_of(target, what)
  return target .. " " .. what
end

local function forget(note)
  notes[key_of(note.target, note.what)] = nil
end

local function is_set(note)
  local server = find(note.proxy, note.server)
  return server ~= nil and KINDS[note.what].is_set(server)
end

-- What somebody has changed meanwhile is theirs now.
local function review(note)
  if note.is_done and not note.is_ending and not is_set(note) then forget(note) end
end

-- In a worker that a reload has left behind nothing is undone: no check would look after its servers any more.
local function undo(note)
  if not is_stopping() and (note.is_ending or is_set(note)) then
    note.is_ending = true      -- whatever fails on the way is done again from its beginning
    KINDS[note.what].undo(find(note.proxy, note.server))
    local before = undone[note.target]
    if note.had_checks then
      local was_maint = note.what == "maint" or (before ~= nil and before.was_maint)
      undone[note.target] = { note = note, was_maint = was_maint, looks = LOOKS_AGAIN }
    end
  end
  forget(note)
end

-- HAProxy changes the flags of a check without a lock: what we resume can be lost to a thread that ends that very check
-- (seen on 2.6), and the server would never be checked again. Out of maintenance it can be had anew from there alone.
local function look_again(target, again)
  local note = again.note
  local server = find(note.proxy, note.server)
  local is_noted = notes[key_of(target, "checks")] or notes[key_of(target, "maint")]
  if server and (is_noted or is_in_maint(server)) then return end
  again.looks = again.looks - 1
  if not server or again.looks < 1 then undone[target] = nil end
  if not undone[target] or has_checks(server) then return end
  server:check_enable()
  if again.was_maint and not has_checks(server) then
    server:set_maint()
    KINDS.maint.undo(server)
  end
end

local function is_far(note)
  return is_added(note.proxy, note.server)
end

local function is_near(note)
  return not is_far(note)
end

-- A list, since others may change the table meanwhile.
local function notes_that(is_meant)
  local list = {}
  for _, note in pairs(notes) do
    if is_meant(note) then list[#list + 1] = note end
  end
  return list
end

local function undone_that(is_meant)
  local list = {}
  for target, again in pairs(undone) do
    if is_meant(again.note) then list[#list + 1] = target end
  end
  return list
end

-- One that fails shall not keep the others, and is tried again.
local function with_each_note(act, is_meant)
  for _, note in ipairs(notes_that(is_meant)) do pcall(act, note) end
end

local function look_after(is_meant)
  with_each_note(now_ms() >= ends_at and undo or review, is_meant)
  for _, target in ipairs(undone_that(is_meant)) do pcall(look_again, target, undone[target]) end
end

-- What takes time shall not keep what does not.
local far_look = { is_done = true }

local function look_after_far()
  if far_look.is_done and (#notes_that(is_far) > 0 or #undone_that(is_far) > 0) then
    far_look = in_turn(look_after, is_far)
  end
end

core.register_task(function()
  while true do
    core.msleep(LOOK_MS)
    looked_at = now_ms()
    pcall(look_after, is_near)
    pcall(look_after_far)
  end
end)

local function refusal(why)
  return "refused: " .. why
end

-- Who has waited and waits no more, as a line for each proxy.
local function tell_released(lines, is_forgotten)
  for proxy, lot in pairs(parked) do
    local gone = lot.let_go
    if gone.count > 0 then
      lines[#lines + 1] = "released " .. proxy .. " " .. gone.count .. " " .. math.floor(gone.longest_ms)
    end
    if is_forgotten then lot.let_go = { count = 0, longest_ms = 0 } end
  end
end

local function report(applet, is_renewal)
  local info, now, lines = core.get_info(), now_ms(), {}
  with_each_note(review, is_near)
  for _, note in pairs(notes) do
    lines[#lines + 1] = "stuck " .. note.proxy .. " " .. note.server .. " " .. note.what
  end
  for proxy, lot in pairs(parked) do
    sweep(lot, now)
    local since = first_since(lot)
    if since then lines[#lines + 1] = "held " .. proxy .. " " .. lot.count .. " " .. math.floor(now - since) end
  end
  tell_released(lines, is_renewal == true)
  for _, port in ipairs(ports) do
    if port.is_closed then lines[#lines + 1] = "closed " .. port.proxy end
  end
  table.sort(lines)
  lines[#lines + 1] = "pid " .. info.Pid
  lines[#lines + 1] = "stopping " .. (tonumber(info.Stopping) == 1 and 1 or 0)
  applet:send(table.concat(lines, "\n") .. "\n\n")
end

local function renew(applet, _, _, text, more)
  local ms = text and text:match("^%d%d?%d?%d?$") and tonumber(text)
  if more or not ms or ms > MOST_MS then
    return applet:send(refusal("it is `trunkline lease MS`, from 0 to " .. MOST_MS .. " ms") .. "\n\n")
  end
  ends_at = now_ms() + ms
  if ms == 0 then with_each_note(undo, is_near) end
  if ms == 0 and #notes_that(is_far) > 0 then pcall(wait_for_turn, with_each_note, undo, is_far) end
  report(applet, true)
end

-- Why this may not be set, nil where it may.
local function objection(server, target, what)
  local stats = server:get_stats()
  if tonumber(stats.bck) == 1 then return target .. " is no member" end
  for _, other in ipairs({ "drain", "maint" }) do
    if KINDS[other].is_set(server) and not notes[key_of(target, other)] then
      return target .. " was set to " .. other .. " by hand"
    end
  end
  local is_known = notes[key_of(target, "checks")] or undone[target]
  if what == "checks" and not is_known and not is_in_maint(server) and not has_checks(server) then
    return "the checks of " .. target .. " were suspended by hand, or it has none"
  end
end

local function split(target)
  return (target or ""):match("^([^/]+)/([^/]+)$")
end

local function review_notes_of(target)
  with_each_note(review, function(note) return note.target == target end)
end

local function stick(target, what, more)
  local proxy, name = split(target)
  if more or not proxy or not KINDS[what or ""] then return refusal("it is `trunkline stick " .. USAGE .. "`") end
  local server = find(proxy, name)
  if not server then return refusal("there is no server " .. target) end
  if now_ms() >= ends_at then return refusal("there is no lease") end
  if now_ms() - looked_at > ASLEEP_MS then return refusal("nobody would undo it") end
  review_notes_of(target)
  local before = notes[key_of(target, what)]
  if before and before.is_done then return "done" end
  local why = objection(server, target, what)
  if why then return refusal(why) end
  local maint = notes[key_of(target, "maint")]
  if what == "drain" and maint then undo(maint) end
  local note = { target = target, proxy = proxy, server = name, what = what, is_done = false }
  local is_known = notes[key_of(target, "checks")] or undone[target]
  note.had_checks = what ~= "drain" and (has_checks(server) or is_known ~= nil)
  notes[key_of(target, what)] = note   -- first: whoever asks may be gone at any moment
  KINDS[what].set(server)
  note.is_done = true
  if what == "maint" then notes[key_of(target, "drain")] = nil end
  return "done"
end

local function unstick(target, what, more)
  if more or not target or not KINDS[what or ""] then return refusal("it is `trunkline unstick " .. USAGE .. "`") end
  review_notes_of(target)
  local note = notes[key_of(target, what)]
  if not note then return refusal(target .. " has no lease of " .. what) end
  undo(note)
  return "done"
end

-- HAProxy ends every session of a server that goes down, one that is only being connected included, and without a word to
-- its client. A connect that is refused has failed before the time is over, and is tried elsewhere. What follows does not
-- need whoever has asked, and leaves alone what a person sets meanwhile.
local function finish_closing(proxy, name)
  local server = find(proxy, name)
  if not server or is_in_maint(server) or not is_true(server:is_draining()) then return end
  server:check_force_down()
  server:set_ready()
end

local function finish_closing_soon(proxy, name)
  core.msleep(CLOSING_MS)
  if not is_added(proxy, name) then return finish_closing(proxy, name) end
  while not pcall(wait_for_turn, finish_closing, proxy, name) and not is_stopping() do core.msleep(LOOK_MS) end
end

local function close_server(target, more)
  local proxy, name = split(target)
  if more or not proxy then return refusal("it is `trunkline close PROXY/SERVER`") end
  local server = find(proxy, name)
  if not server then return refusal("there is no server " .. target) end
  if tonumber(server:get_stats().bck) == 1 then return refusal(target .. " is no member") end
  if is_in_maint(server) or is_true(server:is_draining()) then return refusal(target .. " is closed already") end
  core.register_task(function() pcall(finish_closing_soon, proxy, name) end)
  server:set_drain()
  return "done"
end

-- The command that is done by ACT, in its turn where that takes time.
local function answering(act)
  return function(applet, _, _, target, ...)
    local proxy, name = split(target)
    local is_good, answer
    if proxy and is_added(proxy, name) then
      is_good, answer = pcall(wait_for_turn, act, target, ...)
    else
      is_good, answer = true, act(target, ...)
    end
    applet:send((is_good and answer or refusal(tostring(answer))) .. "\n\n")
  end
end

core.register_cli({ "trunkline", "close" }, "trunkline close PROXY/SERVER", answering(close_server))
core.register_cli({ "trunkline", "lease" }, "trunkline lease MS    renew the lease of what sticks", renew)
core.register_cli({ "trunkline", "stuck" }, "trunkline stuck    what is leased, and who waits", report)
core.register_cli({ "trunkline", "stick" }, "trunkline stick " .. USAGE, answering(stick))
core.register_cli({ "trunkline", "unstick" }, "trunkline unstick " .. USAGE, answering(unstick))
