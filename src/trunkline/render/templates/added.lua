-- (What follows is templates/added.lua of Trunkline: servers that were added to a HAProxy whose Lua does not see them.)
--
-- Before 2.8, core.backends knows the servers of the configuration alone. The others are asked, and told, over a socket of
-- HAProxy's own command line: `added_server` gives what has the methods of the class Server that lease.lua calls.
--
--   setenv TRUNKLINE_LUA_SOCKET PATH       as workers see it, from inside their chroot; only where it is needed
--
-- A socket makes whoever uses it wait, and others go on meanwhile. So all that is done to such servers is done one after
-- the other (`in_turn`), by a task of ours: a command that was given on the admin socket ends when its client leaves.

local LUA_SOCKET = os.getenv("TRUNKLINE_LUA_SOCKET")
local ANSWER_TIMEOUT_S = 1
local TURN_LOOK_MS = 1
local MOST_WAITING = 5         -- each keeps one of HAProxy's few connections for commands, and we need one as well
local DRAIN_FLAGS = 0x18       -- of srv_admin_state: forced and inherited

local jobs = { is_running = false }     -- what waits for its turn

-- ACT will be called when all that came before it is done; is_done says when that has happened, is_good how it went.
local function in_turn(act, ...)
  local job = { act = act, words = table.pack(...), is_done = false }
  jobs[#jobs + 1] = job
  if not jobs.is_running then
    jobs.is_running = true
    core.register_task(function()
      while #jobs > 0 do
        local one = table.remove(jobs, 1)
        one.is_good, one.result = pcall(one.act, table.unpack(one.words, 1, one.words.n))
        one.is_done = true
      end
      jobs.is_running = false
    end)
  end
  return job
end

-- The same, and its result when it is done.
local function wait_for_turn(act, ...)
  if #jobs >= MOST_WAITING then error("too many ask at once", 0) end
  local job = in_turn(act, ...)
  while not job.is_done do core.msleep(TURN_LOOK_MS) end
  if not job.is_good then error(job.result, 0) end
  return job.result
end

local function is_added(proxy, name)
  local backend = core.backends[proxy]
  return LUA_SOCKET ~= nil and backend ~= nil and backend.servers[name] == nil
end

-- The path leads to the newest worker, and a reload may come at any moment: another worker is told nothing.
local function is_ours(socket)
  local own = tostring(core.get_info().Pid)
  socket:send("prompt\nshow info\n")
  while true do
    local line = socket:receive("*l")
    local pid = line and line:match("^Pid: (%d+)")
    if pid or not line then return pid == own end
  end
end

-- One connection: COMMANDS, each done before the next, and all that is said to them.
local function told(commands)
  local socket = core.tcp()
  socket:settimeout(ANSWER_TIMEOUT_S)
  local is_known = socket:connect(LUA_SOCKET) and is_ours(socket)
  local answer = is_known and socket:send(table.concat(commands, "\n") .. "\nquit\n") and socket:receive("*a")
  socket:close()
  return answer or error("HAProxy does not answer its own Lua", 0)
end

-- How a server is, as `show servers state` and `show stat` say it; nil where there is none. COMMAND: to be done before.
local function looked_up(proxy, name, command)
  local number = core.backends[proxy].uuid     -- `show stat` takes the name for the frontend's
  local commands = { "show servers state " .. proxy, "show stat " .. number .. " 4 -1" }
  if command then table.insert(commands, 1, command) end
  local answer = told(commands)
  local own_state, columns, values
  for line in answer:gmatch("[^\n]+") do
    local words = {}
    for word in line:gmatch("%S+") do words[#words + 1] = word end
    if words[2] == proxy and words[4] == name then own_state = words end
    if line:match("# pxname,") then columns = line:match("# (.*)") end
    if line:sub(1, #proxy + #name + 2) == proxy .. "," .. name .. "," then values = line end
  end
  if not columns then error("HAProxy does not say how its servers are", 0) end
  if not own_state or not values then return nil end
  local stats, next_value = {}, values:gmatch("([^,]*),")
  for column in columns:gmatch("([^,]*),") do
    stats[column] = next_value()
    if column == "check_status" then break end     -- what comes later may be quoted
  end
  return { stats = stats, admin = tonumber(own_state[7]), weight = tonumber(own_state[8]) }
end

-- nil where HAProxy has no such server.
local function added_server(proxy, name)
  local target = proxy .. "/" .. name
  local now = looked_up(proxy, name)
  if not now then return nil end
  local function saying(command)
    return function() now = looked_up(proxy, name, command) or error("there is no server " .. target, 0) end
  end
  return {
    check_disable = saying("disable health " .. target),
    check_enable = saying("enable health " .. target),
    check_force_up = saying("set server " .. target .. " health up"),
    check_force_down = saying("set server " .. target .. " health down"),
    set_drain = saying("set server " .. target .. " state drain"),
    set_maint = saying("set server " .. target .. " state maint"),
    set_ready = saying("set server " .. target .. " state ready"),
    is_draining = function() return now.admin & DRAIN_FLAGS ~= 0 or now.weight == 0 end,
    get_stats = function() return now.stats end,
  }
end
