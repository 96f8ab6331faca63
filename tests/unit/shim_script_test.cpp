#include "client/shim_script.h"

#include <gtest/gtest.h>

namespace warmd::client {
namespace {

TEST(ShimScriptTest, EveryScriptIsRecognisedWithItsTemplate)
{
    for (const std::string& program : shim_programs()) {
        const std::string script = shim_script(program, TemplateName{"some-template"});
        EXPECT_EQ(template_of_shim(script), TemplateName{"some-template"}) << program;
        EXPECT_NE(script.find("shim_name='" + program + "'\n"), std::string::npos) << program;
        EXPECT_TRUE(find_shim(program).has_value()) << program;
    }
}

TEST(ShimScriptTest, OtherFilesAreNoShims)
{
    EXPECT_FALSE(template_of_shim("").has_value());
    EXPECT_FALSE(template_of_shim("#!/bin/sh\nexec matlab \"$@\"\n").has_value());
    EXPECT_FALSE(template_of_shim("\x7f"
                                  "ELF")
                     .has_value());
    EXPECT_FALSE(find_shim("sed").has_value());
}

TEST(ShimScriptTest, VersionsOfOneProgramShareATemplate)
{
    EXPECT_EQ(find_shim("python")->usual_template, find_shim("python3")->usual_template);
    EXPECT_EQ(find_shim("octave")->usual_template, find_shim("octave-cli")->usual_template);
}

}  // namespace

}  // namespace warmd::client
