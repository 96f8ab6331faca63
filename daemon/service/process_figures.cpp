#include "daemon/service/process_figures.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/base/error.h"

namespace warmd {

namespace {

double boot_time()
{
    std::ifstream file{"/proc/stat"};
    for (std::string name; file >> name;) {
        double seconds = 0;
        if (name == "btime" && file >> seconds) return seconds;
    }
    throw Error{ErrorCode::internal, "/proc/stat does not say when the machine was started"};
}

}  // namespace

ProcessFigures process_figures()
{
    std::ifstream file{"/proc/self/stat"};
    std::string line;
    std::getline(file, line);
    // The second field, the program's name, may hold spaces and parentheses: fields are counted from its end.
    const std::size_t end = line.rfind(')');
    std::istringstream rest{end == std::string::npos ? std::string{} : line.substr(end + 1)};
    const std::vector<std::string> fields{std::istream_iterator<std::string>{rest}, {}};
    constexpr std::size_t kThird = 3;  // the manual's number of the first field here
    if (fields.size() <= 24 - kThird) throw Error{ErrorCode::internal, "/proc/self/stat cannot be read"};
    const auto field = [&fields](std::size_t number) { return std::stod(fields.at(number - kThird)); };
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
    return {.resident_bytes = static_cast<std::uint64_t>(field(24) * page),
            .open_fds = static_cast<int>(std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {})),
            .threads = static_cast<int>(field(20)),
            .start_time = boot_time() + field(22) / ticks,
            .cpu_seconds = (field(14) + field(15)) / ticks};
}

}  // namespace warmd
