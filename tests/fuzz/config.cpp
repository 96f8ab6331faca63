// warmd.toml and templates: root writes them, and a mistake must be a message with a line.
#include "daemon/config/config.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/fuzz.h"

using namespace warmd;

namespace {

namespace fs = std::filesystem;

/// In memory where there is a file system for it: it is written for every input.
struct Directory {
    fs::path path;
    Directory()
    {
        std::string pattern = (fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path().string()) +
                              "/warmd-fuzz-XXXXXX";
        fuzz::require(::mkdtemp(pattern.data()) != nullptr, "there is a directory to write to");
        path = pattern;
        fs::create_directory(path / "templates.d");
    }
    ~Directory()
    {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const Directory directory;
    std::string_view text = fuzz::input(data, size);
    const bool is_template = !text.empty() && text.front() != 'd';
    if (!text.empty()) text.remove_prefix(1);
    const fs::path daemon = directory.path / "warmd.toml";
    const fs::path other = directory.path / "templates.d/a.toml";
    std::ofstream{is_template ? other : daemon, std::ios::binary} << text;
    std::ofstream{is_template ? daemon : other, std::ios::binary} << (is_template ? "" : "image = \"a\"\n");
    std::vector<ConfigProblem> problems;
    const Config config = load_config(directory.path, problems);
    for (const ConfigProblem& problem : problems) {
        fuzz::require(!problem.where.empty() && !problem.message.empty(), "a problem says what and where");
    }
    if (problems.empty() && is_template) {
        fuzz::require(config.templates.size() == 1 && config.templates.begin()->second.digest.size() == 64,
                      "a good template has a digest");
    }
    return 0;
}
