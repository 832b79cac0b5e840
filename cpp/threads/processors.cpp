// Counts the processors that the process may use: by its affinity and by the CPU quotas of cgroup v1 and v2.
#include "threads/processors.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <vector>

#include "threads/clock.hpp"

namespace fusedrnn {
namespace {

int processors_of_affinity() {
    constexpr int max_size = 1 << 20;
    for (int size = CPU_SETSIZE; size <= max_size; size *= 2) {
        const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(static_cast<std::size_t>(size)),
                                                                   [](cpu_set_t* it) { CPU_FREE(it); });
        if (!set) break;
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(size));
        if (sched_getaffinity(0, bytes, set.get()) == 0) return CPU_COUNT_S(bytes, set.get());
        if (errno != EINVAL) break;  // otherwise the kernel's own set is larger
    }
    return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

bool lists(const std::string& comma_separated, const std::string& name) {
    const std::vector<std::string> names = split(comma_separated, ',');
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> lines_of(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

std::vector<std::string> words_of_first_line(const std::string& path) {
    const std::vector<std::string> lines = lines_of(path);
    return lines.empty() ? std::vector<std::string>() : split(lines.front(), ' ');
}

// Nothing where the text is no whole number above zero: "max", -1 and nonsense set no quota.
std::optional<long> positive(const std::string& text) {
    long value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || rest != end || value <= 0) return std::nullopt;
    return value;
}

std::optional<long> quota_of(const std::optional<long>& time, const std::optional<long>& period) {
    if (!time || !period) return std::nullopt;
    return std::max(1L, *time / *period);
}

// Of one directory of cgroup v1 or v2.
std::optional<long> quota_in(const std::string& directory, bool v2) {
    if (v2) {
        const std::vector<std::string> words = words_of_first_line(directory + "/cpu.max");
        return words.size() == 2 ? quota_of(positive(words[0]), positive(words[1])) : std::nullopt;
    }
    const std::vector<std::string> time = words_of_first_line(directory + "/cpu.cfs_quota_us");
    const std::vector<std::string> period = words_of_first_line(directory + "/cpu.cfs_period_us");
    return time.size() == 1 && period.size() == 1 ? quota_of(positive(time[0]), positive(period[0])) : std::nullopt;
}

// mountinfo writes a space in a path as \040, and so on.
std::string unescaped(const std::string& text) {
    std::string plain;
    const auto octal = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '7'; };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
            plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

// Where a hierarchy of cgroups with CPU quotas is mounted, and which of its cgroups is seen there.
struct Mount {
    std::string cgroup, directory;
    bool v2;
};

std::vector<Mount> mounts_of_cgroups(const std::string& root) {
    std::vector<Mount> mounts;
    for (const std::string& line : lines_of(root + "/proc/self/mountinfo")) {
        // number parent device cgroup directory options [tags ...] - type source options
        const std::vector<std::string> words = split(line, ' ');
        const auto dash = std::find(words.begin(), words.end(), "-");
        if (dash - words.begin() < 5 || words.end() - dash < 4) continue;
        const bool v2 = dash[1] == "cgroup2";
        if (v2 || (dash[1] == "cgroup" && lists(dash[3], "cpu")))
            mounts.push_back({unescaped(words[3]), unescaped(words[4]), v2});
    }
    // Where mountinfo says nothing: the usual places.
    if (mounts.empty()) mounts = {{"/", "/sys/fs/cgroup", true}, {"/", "/sys/fs/cgroup/cpu", false}};
    return mounts;
}

// The process's cgroup in a hierarchy, or nothing where it is in none.
std::optional<std::string> cgroup_of_process(const std::string& root, bool v2) {
    for (const std::string& line : lines_of(root + "/proc/self/cgroup")) {
        // number:controllers:cgroup, which may have colons
        const std::size_t first = line.find(':'), second = first == line.npos ? first : line.find(':', first + 1);
        if (second == line.npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (v2 ? line.substr(0, first) == "0" && controllers.empty() : lists(controllers, "cpu"))
            return line.substr(second + 1);
    }
    return std::nullopt;
}

// The cgroup's path below the mounted one; empty where it is that one, or lies outside of what is mounted.
std::string below_mount(const std::string& cgroup, const Mount& mount) {
    const std::string seen = mount.cgroup == "/" ? "" : mount.cgroup;
    const bool inside = cgroup.compare(0, seen.size(), seen) == 0 && cgroup.find("/..") == cgroup.npos &&
                        (cgroup.size() == seen.size() || cgroup[seen.size()] == '/');
    return inside ? cgroup.substr(seen.size()) : "";
}

}  // namespace

std::optional<int> cpu_quota(const std::string& root) {
    std::optional<long> smallest;
    for (const Mount& mount : mounts_of_cgroups(root)) {
        const std::optional<std::string> cgroup = cgroup_of_process(root, mount.v2);
        if (!cgroup) continue;
        std::string below = below_mount(*cgroup, mount);
        while (true) {  // the cgroup, then its parents
            if (const std::optional<long> quota = quota_in(root + mount.directory + below, mount.v2))
                smallest = std::min(smallest.value_or(*quota), *quota);
            if (below.empty()) break;
            below.erase(below.rfind('/'));
        }
    }
    if (!smallest) return std::nullopt;
    return static_cast<int>(std::min<long>(*smallest, std::numeric_limits<int>::max()));
}

int usable_processors() {
    const int processors = processors_of_affinity();
    return std::min(processors, cpu_quota("").value_or(processors));
}

int processors_now() {
    // Both without order: a value that is a little old does no harm, and two threads that ask at once store the same.
    static const int quota = cpu_quota("").value_or(std::numeric_limits<int>::max());
    static std::atomic<int> known{usable_processors()};
    static std::atomic<Nanoseconds> asked{now()};
    const Nanoseconds time = now();
    if (time - asked.load(std::memory_order_relaxed) > tuning::processors_hold) {
        asked.store(time, std::memory_order_relaxed);
        known.store(std::min(processors_of_affinity(), quota), std::memory_order_relaxed);
    }
    return known.load(std::memory_order_relaxed);
}

}  // namespace fusedrnn
