#include "daemon/base/memory.h"

#include <fstream>
#include <limits>
#include <string>

#include "daemon/base/error.h"

namespace warmd {

std::uint64_t available_memory()
{
    std::ifstream file{"/proc/meminfo"};
    std::string name;
    std::uint64_t kibibytes = 0;
    while (file >> name >> kibibytes) {
        if (name == "MemAvailable:") return kibibytes * 1024;
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    throw Error{ErrorCode::internal, "/proc/meminfo does not say how much memory is available"};
}

}  // namespace warmd
