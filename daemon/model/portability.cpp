#include "daemon/model/portability.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "daemon/model/criu_kernel.h"

namespace warmd {

namespace {

std::optional<std::uint64_t> parse_number(std::string_view text)
{
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

/// Words among the flags of /proc/cpuinfo that name no instruction and no state of a process: what the kernel, the
/// firmware or the hypervisor use for themselves. They come and go with the kernel, its mitigations= and the
/// hypervisor's version on one and the same processor.
const std::set<std::string, std::less<>>& flags_of_the_kernel()
{
    static const std::set<std::string, std::less<>> flags{
        // Linux' own words.
        "acc_power", "amd_dcm", "aperfmperf", "arch_perfmon", "art", "bts", "constant_tsc", "cpb", "cpuid",
        "cpuid_fault", "epb", "extd_apicid", "hw_pstate", "hypervisor", "nonstop_tsc", "nonstop_tsc_s3", "nopl", "pebs",
        "perfmon_v2", "proc_feedback", "rapl", "rep_good", "ring3mwait", "syscall32", "sysenter32", "tsc_known_freq",
        "tsc_reliable", "tsc_adjust", "up", "xtopology", "bus_lock_detect", "split_lock_detect",
        // Mitigations.
        "arch_capabilities", "core_capabilities", "flush_l1d", "ibpb", "ibpb_exit_to_user", "ibrs", "ibrs_enhanced",
        "bhi_ctrl", "md_clear", "msr_spec_ctrl", "pti", "rsb_ctxsw", "spec_ctrl", "ssbd", "stibp", "tsx_force_abort",
        "virt_ssbd", "amd_ibpb", "amd_ibrs", "amd_stibp", "amd_ssbd", "amd_psfd", "btc_no", "ibpb_brtype", "sbpb",
        // What is for guests of this machine.
        "avic", "decodeassists", "ept", "ept_ad", "flexpriority", "flushbyasid", "lbrv", "npt", "nrip_save",
        "pausefilter", "pfthreshold", "svm", "svm_lock", "tpr_shadow", "tsc_scale", "v_spec_ctrl", "v_vmsave_vmload",
        "vgif", "vmcb_clean", "vmmcall", "vmx", "vnmi", "vpid", "x2avic", "sev", "sev_es", "sev_snp", "sme",
        "debug_swap", "tdx_guest", "xenpv", "vcpupreempt", "skinit", "smx",
        // What only the kernel can use: interrupts, pages, power, errors, measuring.
        "acpi", "apic", "arat", "arch_lbr", "amd_lbr_v2", "amd_lbr_pmc_freeze", "bpext", "cat_l2", "cat_l3", "cdp_l2",
        "cdp_l3", "cmp_legacy", "cppc", "cr8_legacy", "extapic", "cqm", "cqm_llc", "cqm_mbm_local", "cqm_mbm_total",
        "cqm_occup_llc", "dca", "de", "ds_cpl", "dtes64", "dtherm", "dts", "est", "hfi", "hwp", "hwp_act_window",
        "hwp_epp", "hwp_notify", "hwp_pkg_req", "ht", "ibs", "ida", "intel_ppin", "intel_pt", "invpcid", "irperf",
        "mba", "mca", "mce", "monitor", "mtrr", "nodeid_msr", "osvw", "overflow_recov", "pae", "pat", "pbe", "pcid",
        "pconfig", "pdcm", "pdpe1gb", "perfctr_core", "perfctr_llc", "perfctr_nb", "pge", "pln", "ppin", "pse", "pse36",
        "ptsc", "pts", "rdt_a", "smap", "smca", "smep", "ss", "succor", "tce", "tm", "tm2", "topoext",
        "tsc_deadline_timer", "umip", "vme", "wbnoinvd", "wdt", "x2apic", "xsaveerptr", "xsaves", "xtpr"};
    return flags;
}

/// The recorded flags that are not here, in their order.
std::string missing_flags(const std::string& recorded, const std::string& here)
{
    if (recorded == here) return {};
    std::istringstream words{here};
    const std::set<std::string> present{std::istream_iterator<std::string>{words}, {}};
    std::string missing;
    for (const std::string& flag : flags_that_count(recorded)) {
        if (!present.contains(flag)) missing += (missing.empty() ? "" : " ") + flag;
    }
    return missing;
}

class Comparison {
public:
    Comparison(const Environment& recorded, const Environment& here) : recorded_{recorded}, here_{here} {}

    std::vector<Difference> run()
    {
        if (differs("architecture")) block("architecture", "programs of one architecture do not run on another");
        if (knows("cpu_flags")) compare_flags();
        if (differs("xsave_size")) compare_xsave();
        if (differs("runtime"))
            block("runtime", "checkpoints that one container runtime made cannot be restored by "
                             "another");
        if (differs("criu")) compare_criu();
        if (differs("kernel")) compare_kernel();
        compare_pair();
        for (const char* const field : {"podman", "runtime_version", "cpu_model"}) {
            if (differs(field)) note(field, "does not matter for a restore by all that is known");
        }
        return std::move(differences_);
    }

private:
    static const std::string& value(const Environment& environment, const std::string& field)
    {
        static const std::string unknown;
        const auto found = environment.find(field);
        return found == environment.end() ? unknown : found->second;
    }
    [[nodiscard]] bool knows(const std::string& field) const
    {
        return !value(recorded_, field).empty() && !value(here_, field).empty();
    }
    [[nodiscard]] bool differs(const std::string& field) const
    {
        return knows(field) && value(recorded_, field) != value(here_, field);
    }
    void add(const std::string& field, bool blocks, const std::string& why)
    {
        differences_.push_back({.field = field,
                                .recorded = value(recorded_, field),
                                .here = value(here_, field),
                                .blocks = blocks,
                                .why = why});
    }
    void block(const std::string& field, const std::string& why) { add(field, true, why); }
    void note(const std::string& field, const std::string& why) { add(field, false, why); }

    void compare_flags()
    {
        std::string missing = missing_flags(value(recorded_, "cpu_flags"), value(here_, "cpu_flags"));
        if (missing.empty()) return;
        differences_.push_back({.field = "cpu_flags",
                                .recorded = std::move(missing),
                                .here = {},
                                .blocks = true,
                                .why = "the application may use instructions that this processor lacks"});
    }

    void compare_xsave()
    {
        const auto recorded = parse_number(value(recorded_, "xsave_size"));
        const auto here = parse_number(value(here_, "xsave_size"));
        if (!recorded || !here || *recorded <= *here) return;  // what is smaller fits
        block("xsave_size", "vector registers would be lost: this processor saves fewer");
    }

    void compare_criu()
    {
        const auto recorded = version_numbers(value(recorded_, "criu"));
        const auto here = version_numbers(value(here_, "criu"));
        const bool newer = recorded && here && *recorded > *here;
        if (newer) block("criu", "CRIU cannot be relied on to read the images of a newer one");
        else note("criu", "CRIU reads the images of older ones");
    }

    void compare_kernel()
    {
        const auto recorded = version_numbers(value(recorded_, "kernel"));
        const auto here = version_numbers(value(here_, "kernel"));
        const bool newer = recorded && here && *recorded > *here;
        note("kernel", newer ? "CRIU restores under an older kernel, unless the application uses what that lacks"
                             : "CRIU restores under another kernel");
    }

    /// What was wrong with kernel and CRIU already when the dump succeeded does not count.
    void compare_pair()
    {
        if (!knows("kernel") || !knows("criu")) return;
        const auto bad = known_conflict(value(here_, "kernel"), value(here_, "criu"));
        if (!bad || bad == known_conflict(value(recorded_, "kernel"), value(recorded_, "criu"))) return;
        const std::string field = differs("kernel") ? "kernel" : "criu";
        std::erase_if(differences_, [&field](const Difference& one) { return one.field == field; });
        block(field, *bad);
    }

    const Environment& recorded_;
    const Environment& here_;
    std::vector<Difference> differences_;
};

}  // namespace

std::vector<Difference> compare_hosts(const Environment& recorded, const Environment& here)
{
    return Comparison{recorded, here}.run();
}

std::vector<std::string> flags_that_count(const std::string& flags)
{
    std::istringstream words{flags};
    std::vector<std::string> counting;
    for (std::string flag; words >> flag;) {
        if (!flags_of_the_kernel().contains(flag)) counting.push_back(std::move(flag));
    }
    return counting;
}

}  // namespace warmd
