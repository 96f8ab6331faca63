# Writes the dashboard's files as arrays into one source file: cmake -DOUT=... -DFILES=a|b|c -P embed.cmake
# Arrays of bytes, because compilers bound the length of a string literal.
cmake_policy(VERSION 3.25)
string(REPLACE "|" ";" FILES "${FILES}")
set(types_html "text/html; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_svg "image/svg+xml")

set(arrays "")
set(table "")
set(index 0)
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  get_filename_component(extension ${file} LAST_EXT)
  string(SUBSTRING ${extension} 1 -1 extension)
  if(NOT DEFINED types_${extension})
    message(FATAL_ERROR "${name}: no content type is known for .${extension}")
  endif()
  file(SHA256 ${file} digest)
  string(SUBSTRING ${digest} 0 32 tag)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "constexpr unsigned char kFile${index}[] = {${bytes}};\n")
  string(APPEND table "    {\"${name}\", \"${types_${extension}}\", R\"(\"${tag}\")\", bytes_of(kFile${index})},\n")
  math(EXPR index "${index} + 1")
endforeach()

file(WRITE ${OUT} "// Made by api/web/embed.cmake.
#include \"api/http/web_files.h\"

namespace warmd::http {

namespace {

template <std::size_t size>
std::string_view bytes_of(const unsigned char (&bytes)[size])
{
    return {reinterpret_cast<const char*>(bytes), size};
}

${arrays}
const WebFile kFiles[] = {
${table}};

}  // namespace

std::span<const WebFile> web_files() { return kFiles; }

}  // namespace warmd::http
")
