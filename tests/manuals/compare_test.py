#!/usr/bin/env python3
"""That a manual which says something else than a command prints is found out."""

import sys
import unittest

sys.dont_write_bytecode = True
from compare import Differs, compare_json, compare_output  # noqa: E402


class Output(unittest.TestCase):
    def differs(self, expected, found):
        with self.assertRaises(Differs):
            compare_output(expected, found)

    def test_the_same(self):
        compare_output("6\n", "6\n")
        compare_output("6\n", "6")
        compare_output("a.b[c]\n", "a.b[c]\n")

    def test_any_text_in_a_line(self):
        compare_output("ckpt-…\n", "ckpt-1kg3m8v2c7qz4n0p\n")
        compare_output("a … c\n", "a b c\n")
        self.differs("ckpt-…\n", "inst-1kg3m8v2c7qz4n0p\n")
        self.differs("a…\n", "ab\nc\n")

    def test_any_lines(self):
        compare_output("a\n…\nz\n", "a\nb\nc\nz\n")
        compare_output("a\n…\nz\n", "a\nz\n")
        self.differs("a\n…\nz\n", "a\nb\n")

    def test_another_line(self):
        self.differs("6\n", "7\n")
        self.differs("6\n", "6\n7\n")
        self.differs("6\n7\n", "6\n")
        self.differs("a.b\n", "aXb\n")


class Json(unittest.TestCase):
    def differs(self, expected, found, part=False):
        with self.assertRaises(Differs):
            compare_json(expected, part, found)

    def test_other_values_of_the_same_kind(self):
        compare_json('{"id": "a", "n": 1, "at": null}', False, '{"id": "b", "n": 2.5, "at": "now"}')
        self.differs('{"id": "a"}', '{"id": 7}')
        self.differs('{"is": true}', '{"is": 1}')

    def test_members(self):
        self.differs('{"id": "a", "more": 1}', '{"id": "a"}')
        self.differs('{"id": "a"}', '{"id": "a", "more": 1}')
        compare_json('{"id": "a", "…": "…"}', False, '{"id": "a", "more": 1}')
        self.differs('{"a": {"b": 1}}', '{"a": {"c": 1}}')
        self.differs('{"a": [{"b": 1}]}', '{"a": [{"c": 1}]}')

    def test_what_tells_documents_from_each_other(self):
        self.differs('{"state": "idle"}', '{"state": "leased"}')
        self.differs('{"code": "conflict", "status": 409}', '{"code": "conflict", "status": 404}')

    def test_the_last_document(self):
        compare_json('{"b": 1}', False, 'words\n{"a": 1}{"b": 2}\n')
        self.differs('{"a": 1}', '{"a": 1}\n{"b": 1}\n')
        self.differs('{"a": 1}', 'no document\n')

    def test_some_documents_in_order(self):
        found = '{"type": "start"}\n{"type": "stdout", "data": "6"}\n{"type": "exit"}\n'
        compare_json('{"type": "start"}\n{"type": "exit"}', True, found)
        self.differs('{"type": "exit"}\n{"type": "start"}', found, part=True)


unittest.main()
