// CPU quotas as they stand in the files of cgroup v1 and v2, under a root of the test's own.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "check.hpp"
#include "threads/processors.hpp"

namespace {

using fusedrnn_test::Checks;
namespace files = std::filesystem;

constexpr int none = 0;

class Root {
public:
    Root() {
        std::string pattern = (files::temp_directory_path() / "fusedrnn-XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    ~Root() { files::remove_all(path_); }
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;

    Root& file(const std::string& name, const std::string& text) {
        const files::path path = path_ / name;
        files::create_directories(path.parent_path());
        std::ofstream(path) << text << '\n';
        return *this;
    }
    Root& v1(const std::string& directory, const std::string& quota, const std::string& period = "100000") {
        return file(directory + "/cpu.cfs_quota_us", quota).file(directory + "/cpu.cfs_period_us", period);
    }
    int quota() const { return fusedrnn::cpu_quota(path_.string()).value_or(none); }

private:
    files::path path_;
};

const char* const cgroup = "proc/self/cgroup";
const char* const mountinfo = "proc/self/mountinfo";
const char* const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate";

void test_v2(Checks& checks) {
    const auto expect = [&](const char* text, int expected) {
        Root root;
        root.file(cgroup, "0::/a/b").file(mountinfo, unified).file("sys/fs/cgroup/a/b/cpu.max", text);
        checks.check(root.quota() == expected, "cpu.max \"%s\": %d processors, not %d", text, root.quota(), expected);
    };
    expect("200000 100000", 2);
    expect("250000 100000", 2);
    expect("50000 100000", 1);
    expect("300000 50000", 6);
    expect("9223372036854775807 1", 2147483647);
    for (const char* text : {"max 100000", "max", "", "-1 100000", "0 100000", "200000 0", "200000", "200000 100000 1",
                             "two 100000", "2e5 100000", "99999999999999999999999 100000"})
        expect(text, none);
}

void test_v1(Checks& checks) {
    const auto expect = [&](const char* quota, const char* period, int expected) {
        Root root;
        root.file(cgroup, "5:memory:/elsewhere\n4:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c")
            .file(mountinfo,
                  "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                  "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct")
            .v1("sys/fs/cgroup/cpu,cpuacct/a", quota, period)
            .v1("sys/fs/cgroup/memory/elsewhere", "100000");
        checks.check(root.quota() == expected, "quota \"%s\" of period \"%s\": %d processors, not %d", quota, period,
                     root.quota(), expected);
    };
    expect("300000", "100000", 3);
    expect("390000", "100000", 3);
    expect("1000", "100000", 1);
    expect("-1", "100000", none);
    expect("0", "100000", none);
    expect("", "100000", none);
    expect("300000", "0", none);
    expect("300000", "nonsense", none);
}

void test_parents(Checks& checks) {
    Root root;
    root.file(cgroup, "0::/pod/container").file(mountinfo, unified);
    root.file("sys/fs/cgroup/pod/container/cpu.max", "800000 100000")
        .file("sys/fs/cgroup/pod/cpu.max", "300000 100000");
    checks.check(root.quota() == 3, "the parent's quota is less, but %d", root.quota());
    root.file("sys/fs/cgroup/pod/container/cpu.max", "200000 100000");
    checks.check(root.quota() == 2, "the own quota is less, but %d", root.quota());
    root.file("sys/fs/cgroup/cpu.max", "100000 100000");
    checks.check(root.quota() == 1, "the mounted cgroup's quota is least, but %d", root.quota());
}

void test_both_versions(Checks& checks) {
    Root root;
    root.file(cgroup, "1:cpu:/\n0::/a")
        .file(mountinfo,
              "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
              "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw")
        .v1("sys/fs/cgroup/cpu", "400000")
        .file("sys/fs/cgroup/unified/a/cpu.max", "500000 100000");
    checks.check(root.quota() == 4, "v1 says 4, v2 says 5, but %d", root.quota());
}

// A container sees its own cgroup mounted, while /proc may name it as the host does.
void test_mounted_in_part(Checks& checks) {
    Root host_names;
    host_names.file(cgroup, "4:cpu:/docker/x y/inner")
        .file(mountinfo, "32 31 0:29 /docker/x\\040y /sys/fs/cgroup/the\\040cpu rw - cgroup cgroup rw,cpu")
        .v1("sys/fs/cgroup/the cpu/inner", "-1")
        .v1("sys/fs/cgroup/the cpu", "200000");
    checks.check(host_names.quota() == 2, "the container's cgroup as the host names it: %d", host_names.quota());
    for (const char* outside : {"0::/../other", "0::/docker/xy", "0::relative", "0::"}) {
        Root root;
        root.file(cgroup, outside)
            .file(mountinfo, "32 31 0:29 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
            .file("sys/fs/cgroup/cpu.max", "200000 100000");
        checks.check(root.quota() == 2, "\"%s\" is not below what is mounted: %d", outside, root.quota());
    }
}

void test_usual_places(Checks& checks) {
    Root v2;
    v2.file(cgroup, "0::/a").file("sys/fs/cgroup/a/cpu.max", "200000 100000");
    checks.check(v2.quota() == 2, "v2 without mountinfo: %d", v2.quota());
    Root v1;
    v1.file(cgroup, "4:cpu:/a").v1("sys/fs/cgroup/cpu/a", "300000");
    checks.check(v1.quota() == 3, "v1 without mountinfo: %d", v1.quota());
}

void test_missing_and_nonsense(Checks& checks) {
    Root empty;
    checks.check(empty.quota() == none, "no files: %d", empty.quota());
    Root no_cgroup;
    no_cgroup.file(mountinfo, unified).file("sys/fs/cgroup/cpu.max", "200000 100000");
    checks.check(no_cgroup.quota() == none, "in no cgroup: %d", no_cgroup.quota());
    Root no_quota;
    no_quota.file(mountinfo, unified).file(cgroup, "0::/gone (deleted)");
    checks.check(no_quota.quota() == none, "a cgroup that is gone: %d", no_quota.quota());
    Root nonsense;
    nonsense.file(mountinfo, "- - -\n1 2 - cgroup2\n\n31 30 0:27 / /x rw - cgroup2")
        .file(cgroup, "\n:\n::\nnonsense\n0:");
    checks.check(nonsense.quota() == none, "nonsense: %d", nonsense.quota());
}

}  // namespace

int main() {
    Checks checks;
    test_v2(checks);
    test_v1(checks);
    test_parents(checks);
    test_both_versions(checks);
    test_mounted_in_part(checks);
    test_usual_places(checks);
    test_missing_and_nonsense(checks);
    checks.check(fusedrnn::usable_processors() >= 1, "no processor");
    return checks.finish();
}
