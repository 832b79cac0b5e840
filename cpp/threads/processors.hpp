// How many processors the threads of this process may keep busy.
#pragma once

#include <optional>
#include <string>

namespace fusedrnn {

// Those of its affinity, or the CPU quota of its cgroups (of a container, say) where that is less; at least 1.
int usable_processors();

// The same at any time without asking every time: affinity is asked for again now and then, as it can change; the quota
// once.
int processors_now();

// The smallest CPU quota of the process's cgroups and their parents, cgroup v1 and v2, in whole processors, rounded
// down but at least 1; none where no quota is set or it cannot be read. `root` is where /proc and /sys are looked for.
std::optional<int> cpu_quota(const std::string& root);

}  // namespace fusedrnn
