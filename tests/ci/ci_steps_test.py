#!/usr/bin/env python3
"""Tests of docs/ci: ci_steps_test.py WARMCTL [UNITTEST-ARGUMENT...].

What each CI would run is taken from its file and run as that CI runs it, with the variables that it provides. Shims are
real; the warmctl that they find is a fake, except where no daemon answers: there the real one says so. Skipped (77)
without PyYAML and jq. No Groovy is run: of Jenkins' file the shell commands and the variables are used, and its
structure is looked at.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import yaml
except ImportError:
    yaml = None

LIMIT = 30  # seconds
ROOT = pathlib.Path(__file__).resolve().parents[2]
CI = ROOT / "docs/ci"
STEP = str(CI / "warm-step")
warmctl = None

# Through shells, files and commands of four CIs, without a change.
HOSTILE = """x = "a 'b' `touch pwned` $(touch pwned) ${HOME} ${{ secrets.X }} %0A ##vso[task.complete]";
disp('it''s'); \\n # ; | & < > * ?"""

FAKE = r"""#!/bin/bash
case "$*" in
"-q shim install "*|"shim list "*) exec {real} "$@" ;;
esac
[ ! -e {fake}/away ] || exec {real} "$@"
case "$*" in
"-q template show "*) grep -qx -- "$4" {fake}/templates || {{ echo "warmctl: there is no template $4" >&2; exit 1; }} ;;
"--json checkpoint list") cat {fake}/checkpoints ;;
"run "*)
    printf '%s\0' "$@" > {fake}/arguments
    read -r path wait status < {fake}/run
    printf '{{"at":"2026-01-31T08:06:02.114Z","path":%s,"status":%s,"template":"%s","wait_ms":%s}}\n' \
        "$path" "$status" "$2" "$wait" >> "$WARMD_RUN_LOG"
    echo out; echo err >&2
    exit "$status" ;;
*) exit 99 ;;
esac
"""


def checkpoint(template, at, *phases, state="available"):
    return json.dumps({"template": template, "state": state, "available_at": at,
                       "phases": [{"name": name, "elapsed_ms": ms} for name, ms in phases]}) + "\n"


def warmed(ms):
    return ("create", 100), ("start", 200), ("init", ms - 600), ("ready", 300), ("export", 7777)


class Failed(Exception):
    """A step that ends the job."""


class Job:
    """One job of a CI in `folder`. `settings`: programs, template, strict. After run(): status, out, err, summary."""

    def __init__(self, folder, environment, settings):
        self.folder = folder
        self.env = {**environment, **self.provided()}
        self.settings = settings
        self.status, self.out, self.err, self.summary = 0, "", "", ""
        self.prepare_err = ""

    def shell(self, script, *how, env=()):
        file = self.folder / "script.sh"
        file.write_text(script)
        done = subprocess.run([*how, str(file)], env={**self.env, **dict(env)}, cwd=self.folder, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
        return done.returncode, done.stdout, done.stderr

    def keep(self, done):
        status, out, err = done
        self.status, self.out, self.err = self.status or status, self.out + out, self.err + err
        return status

    def prepend(self, path):
        self.env["PATH"] = f"{path}:{self.env['PATH']}"


class GitHub(Job):
    ACTION = CI / "github/action.yml"

    def provided(self):
        files = {name: str(self.folder / name) for name in ("GITHUB_PATH", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            pathlib.Path(file).touch()
        return {"CI": "true", "GITHUB_ACTIONS": "true", "RUNNER_TEMP": str(self.folder / "temp"), **files}

    def value(self, text, inputs):
        return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], text)

    def condition(self, text, inputs):
        words = re.sub(r"inputs\.(\w+)", lambda match: repr(inputs[match[1]]), text)
        words = words.replace("always()", "True").replace("&&", "and").replace("||", "or")
        return ("always()" in text or self.status == 0) and eval(words)  # pylint: disable=eval-used

    def run(self, script):
        action = yaml.safe_load(self.ACTION.read_text())
        inputs = {name: entry["default"] for name, entry in action["inputs"].items()}
        inputs.update({"script": STEP, "run": script}, **self.settings)
        for number, step in enumerate(action["runs"]["steps"]):
            if not self.condition(step["if"], inputs):
                continue
            env = {name: self.value(text, inputs) for name, text in step["env"].items()}
            done = self.shell(step["run"], "bash", "--noprofile", "--norc", "-eo", "pipefail", env=env)
            if number == 1:
                self.keep(done)
            else:
                self.status = self.status or done[0]
            if number == 0:
                self.prepare_err = done[2]
            self.read_files()
        self.summary = pathlib.Path(self.env["GITHUB_STEP_SUMMARY"]).read_text()

    def read_files(self):
        for name in ("GITHUB_PATH", "GITHUB_ENV"):
            file = pathlib.Path(self.env[name])
            lines = file.read_text().splitlines()
            file.write_text("")
            for line in lines:
                if name == "GITHUB_PATH":
                    self.prepend(line)
                else:
                    key, _, value = line.partition("=")
                    self.env[key] = value


class GitLab(Job):
    def provided(self):
        (self.folder / "project").mkdir()
        return {"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_DIR": str(self.folder / "project"), "CI_JOB_ID": "42"}

    def run(self, script):
        job = yaml.safe_load((CI / "gitlab/warmd.yml").read_text())[".warmd"]
        self.env.update(job["variables"], WARM_STEP=STEP,
                        **{"WARM_" + name.upper(): value for name, value in self.settings.items()})
        before = self.folder / "before"  # standard error until the job's own script
        lines = [f"exec 3>&2 2>{json.dumps(before.name)}", *job["before_script"], "exec 2>&3", script]
        self.keep(self.shell("\n".join(lines), "bash", "-eo", "pipefail"))
        self.prepare_err = before.read_text()
        self.summary = self.shell("\n".join(job["after_script"]), "bash", "-eo", "pipefail")[1]


class Azure(Job):
    def provided(self):
        return {"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(self.folder / "temp")}

    def run(self, script):
        template = yaml.safe_load((CI / "azure/warm-steps.yml").read_text())
        values = {entry["name"]: entry["default"] for entry in template["parameters"]}
        values.update(self.settings, script=STEP)
        values["strict"] = {"false": "False", "true": "True"}[str(values["strict"]).lower()]
        steps = []
        for step in template["steps"]:
            if "bash" in step:
                steps.append(step)
            else:
                assert step == {"${{ each step in parameters.steps }}": [{"${{ step }}": None}]} or \
                    step == {"${{ each step in parameters.steps }}": ["${{ step }}"]}, step
                steps.append({"bash": script})
        for number, step in enumerate(steps):
            if self.status and step.get("condition") != "always()":
                continue
            env = {name: re.sub(r"\$\{\{ parameters\.(\w+) \}\}", lambda match: values[match[1]], text)
                   for name, text in step.get("env", {}).items()}
            status, out, err = self.shell(step["bash"], "bash", "--noprofile", "--norc", env=env)
            if number == 0:
                self.prepare_err = err
            if number == 1:
                self.keep((status, out, err))
            else:
                self.status = self.status or status
                self.obey(out)

    def obey(self, out):
        for line in out.splitlines():
            command = re.fullmatch(r"##vso\[([\w.]+)(?: ([^\]]*))?\](.*)", line)
            if not command:
                assert not line.startswith("##"), line
            elif command[1] == "task.prependpath":
                self.prepend(command[3])
            elif command[1] == "task.setvariable":
                self.env[command[2].removeprefix("variable=")] = command[3]
            elif command[1] == "task.uploadsummary":
                self.summary = pathlib.Path(command[3]).read_text()
            else:
                raise AssertionError(line)


class Jenkins(Job):
    FILE = CI / "jenkins/vars/withWarm.groovy"

    def provided(self):
        (self.folder / "workspace@tmp").mkdir()
        return {"JENKINS_URL": "http://ci/", "WORKSPACE_TMP": str(self.folder / "workspace@tmp")}

    def run(self, script):
        text = self.FILE.read_text()
        prepare, summary = re.findall(r"script: '([^']*)'", text)
        settings = {"WARM_STEP": STEP, "WARM_PROGRAMS": "matlab", "WARM_TEMPLATE": "", "WARM_STRICT": "false", "WARM_DIR": ""}
        assert set(re.findall(r"\b(WARM_[A-Z]+)=", text)) == set(settings)
        settings.update({"WARM_" + name.upper(): value for name, value in self.settings.items()})
        status, out, self.prepare_err = self.shell(prepare, "sh", "-e", env=settings)
        if status:
            self.status = status  # the exception of `sh` leaves withWarm
            return
        folder = out.strip()
        path, log = re.search(r'environment = \["PATH\+WARMD=([^"]*)", "WARMD_RUN_LOG=([^"]*)"\]', text).groups()
        before = dict(self.env)
        self.prepend(path.replace("${folder}", folder))
        self.env["WARMD_RUN_LOG"] = log.replace("${folder}", folder)
        if settings["WARM_STRICT"] == "true":
            self.env["WARMD_SHIM"] = re.search(r"environment\.add\('WARMD_SHIM=(\w+)'\)", text)[1]
        self.keep(self.shell(script, "sh", "-e"))
        self.env = before
        status, self.summary, _ = self.shell(summary, "sh", "-e", env={**settings, "WARM_DIR": folder})
        self.status = self.status or status


ALL = (GitHub, GitLab, Azure, Jenkins)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.fake = self.folder / "fake"
        for name in ("fake", "bin", "real"):
            (self.folder / name).mkdir()
        self.program("bin/warmctl", FAKE.format(real=warmctl, fake=self.fake))
        for name in ("matlab", "octave"):
            self.program(f"real/{name}", '#!/bin/sh\necho "real: $*"\nexit 9\n')
        (self.fake / "templates").write_text("matlab\noctave\nm-9\n")
        (self.fake / "checkpoints").write_text("")
        self.answer()
        self.jobs = 0

    def program(self, name, text):
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def answer(self, path="pool", wait=3.2, status=0):
        (self.fake / "run").write_text(f"{json.dumps(path)} {wait} {status}\n")

    def away(self, is_away=True):
        (self.fake / "away").touch() if is_away else (self.fake / "away").unlink(missing_ok=True)

    def arguments(self):
        return (self.fake / "arguments").read_text().split("\0")[:-1]

    def job(self, kind, script, bin_folders=("bin", "real"), variables=(), **settings):
        self.jobs += 1
        folder = self.folder / f"job's {self.jobs} $(touch pwned) `touch pwned` \"d\""
        folder.mkdir()
        path = ":".join([*(str(self.folder / name) for name in bin_folders), "/usr/bin", "/bin"])
        job = kind(folder, {"PATH": path, "WARMD_HOST": str(self.folder / "no-socket"), **dict(variables)}, settings)
        job.run(script)
        self.assertEqual(list(self.folder.rglob("pwned")), [])
        return job


def for_each_ci(test):
    """A test method that gets the CI, for each of them, with the fake warmctl as it was at first."""
    @functools.wraps(test)
    def run(self):
        for kind in ALL:
            with self.subTest(kind.__name__):
                self.away(False)
                self.answer()
                (self.fake / "arguments").unlink(missing_ok=True)
                test(self, kind)
    return run


class Steps(Case):
    @for_each_ci
    def test_the_shims_are_first_on_path(self, kind):
        job = self.job(kind, 'printf "%s\\n" "$PATH" "$(command -v matlab)" "$(command -v octave)"')
        path, matlab, octave = job.out.splitlines()
        first, rest = path.split(":", 1)
        self.assertTrue(first.startswith(str(job.folder)), path)
        self.assertEqual(rest, f"{self.folder}/bin:{self.folder}/real:/usr/bin:/bin")
        self.assertEqual((matlab, octave), (f"{first}/matlab", f"{self.folder}/real/octave"))
        self.assertEqual((job.status, job.prepare_err), (0, ""))

    @for_each_ci
    def test_calls_go_to_the_template(self, kind):
        job = self.job(kind, "octave --eval 1; matlab -batch 2", programs="octave, matlab", template="m-9")
        self.assertEqual(self.arguments()[:4], ["run", "m-9", "--code", "2"])
        self.assertEqual((job.status, job.out, job.err), (0, "out\nout\n", "err\nerr\n"))

    @for_each_ci
    def test_the_exit_status_is_the_calls(self, kind):
        self.answer(status=3)
        job = self.job(kind, "matlab -batch 'exit(3)'")
        self.assertEqual(job.status, 3)
        self.assertIn("1 call", job.summary)  # the job has failed, and yet it is there

    @for_each_ci
    def test_code_arrives_as_it_is(self, kind):
        quoted = "'" + HOSTILE.replace("'", "'\\''") + "'"
        job = self.job(kind, f"matlab -batch {quoted}")
        self.assertEqual(self.arguments()[:4], ["run", "matlab", "--code", HOSTILE])
        self.assertEqual(job.status, 0)

    @for_each_ci
    def test_without_a_daemon_it_starts_cold_and_says_so(self, kind):
        self.away()
        job = self.job(kind, "matlab -batch 1")
        self.assertEqual((job.status, job.out), (9, "real: -batch 1\n"))
        self.assertEqual(job.prepare_err, f"warm-step: warmctl: no daemon answers on {self.folder}/no-socket; "
                                          "batch calls start cold\n")
        self.assertEqual(job.err, f"warmctl: no daemon answers on {self.folder}/no-socket; "
                                  f"running {self.folder}/real/matlab here instead\n")
        self.assertRegex(job.summary, r"^\*\*warmd: (lost|saved) -?\d+ ms in 1 call\*\*")
        self.assertRegex(job.summary, r"\| matlab \| fell back \| \d+ ms \| -\d+ ms \|  \|")

    @for_each_ci
    def test_without_warmctl_it_starts_cold_and_says_so(self, kind):
        job = self.job(kind, "matlab -batch 1", ("real",))
        self.assertEqual((job.status, job.out, job.err), (9, "real: -batch 1\n", ""))
        self.assertEqual(job.prepare_err, "warm-step: warmctl is not on PATH; batch calls start cold\n")
        self.assertTrue(job.summary.startswith("**warmd: no batch call went to it**"), job.summary)

    @for_each_ci
    def test_a_strict_job_fails_without_a_daemon(self, kind):
        self.away()
        job = self.job(kind, "echo began", strict="true")
        self.assertEqual((job.status, job.out), (1, ""))
        self.assertEqual(job.prepare_err, f"warm-step: warmctl: no daemon answers on {self.folder}/no-socket\n")
        job = self.job(kind, "echo began", ("real",), strict="true")
        self.assertEqual((job.status, job.out), (1, ""))

    @for_each_ci
    def test_a_call_of_a_strict_job_fails_when_the_daemon_goes_away(self, kind):
        job = self.job(kind, f"touch {self.fake}/away; matlab -batch 1", strict="true")
        self.assertEqual((job.status, job.out), (125, ""))
        self.assertIn("no daemon answers", job.err)

    @for_each_ci
    def test_an_unknown_template_is_said(self, kind):
        job = self.job(kind, "true", template="other")
        self.assertEqual((job.status, job.prepare_err),
                         (0, "warm-step: warmctl: there is no template other; batch calls start cold\n"))
        if kind is GitLab:  # the others are strict in the same way, see above
            self.assertEqual(self.job(kind, "true", template="other", strict="true").status, 1)

    @for_each_ci
    def test_settings_that_cannot_be_are_refused(self, kind):
        more = ({"template": "--force"}, {"template": "a\nb"}, {"programs": "--force"}, {"programs": "sed"}, {"programs": ","})
        for settings in ({"template": HOSTILE}, {"programs": HOSTILE}, *(more if kind is GitLab else ())):
            job = self.job(kind, "echo began", **settings)
            self.assertEqual((job.status, job.out), (2, ""), settings)
            self.assertNotEqual(job.prepare_err, "")

    @for_each_ci
    def test_what_was_saved_is_added_up(self, kind):
        (self.fake / "checkpoints").write_text(
            checkpoint("matlab", "2026-01-02T00:00:00.000Z", *warmed(10000)) +
            checkpoint("matlab", "2026-01-01T00:00:00.000Z", *warmed(50000)) +
            checkpoint("matlab", "2026-01-03T00:00:00.000Z", *warmed(90000), state="quarantined") +
            checkpoint("octave", "2026-01-03T00:00:00.000Z", *warmed(70000)))
        calls = [("pool", 3.2, 0), ("linked", 500, 0), ("archive", 900, 3), ("cold", 11000, 0), ("cold", 4000, 0)]
        script = "\n".join(f"echo '\"{path}\" {wait} {status}' > {self.fake}/run; matlab -batch 1 || true"
                           for path, wait, status in calls)
        job = self.job(kind, script)
        # 9,996.8 + 9,500 + 9,100 - 1,000 ms; that the last one began sooner than once measured is not warmd's doing.
        self.assertTrue(job.summary.startswith("**warmd: saved 27.6 s in 5 calls**\n"), job.summary)
        rows = re.findall(r"^\| 2026\S* (\| .* \|)$", job.summary, re.M)
        self.assertEqual(rows, ["| matlab | pool | 3 ms | 10 s | 0 |", "| matlab | restored (linked) | 500 ms | 9.5 s | 0 |",
                                "| matlab | restored (archive) | 900 ms | 9.1 s | 3 |",
                                "| matlab | cold | 11 s | -1 s | 0 |", "| matlab | cold | 4 s | 0 ms | 0 |"])
        self.assertIn("Cold start of `matlab`: 10 s, when its newest checkpoint was made.", job.summary)
        self.assertNotIn("octave", job.summary)

    def test_nothing_is_left_where_the_ci_does_not_clean_up(self):
        for kind in (GitLab, Jenkins):
            job = self.job(kind, "matlab -batch 1")
            left = [path for path in job.folder.rglob("*") if "warmd-" in str(path.relative_to(job.folder))]
            self.assertEqual(left, [])


class Summary(Case):
    """Of warm-step alone."""

    def summary(self, *lines, checkpoints="", path=("bin",)):
        folder = self.folder / "job"
        folder.mkdir(exist_ok=True)
        if lines:
            (folder / "run.jsonl").write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        (self.fake / "checkpoints").write_text(checkpoints)
        env = {"PATH": ":".join([*(str(self.folder / name) for name in path), *(("/usr/bin", "/bin") if "tools" not in path else ())]),
               "WARM_DIR": str(folder), "WARMD_HOST": str(self.folder / "no-socket")}
        done = subprocess.run(["/bin/bash", STEP, "summary", "jenkins"], env=env, text=True, capture_output=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def call(self, template="t", path="pool", wait=10, status=0):
        return {"template": template, "path": path, "wait_ms": wait, "status": status, "at": "2026-01-31T08:06:02.114Z"}

    def test_nothing_was_called(self):
        self.assertEqual(self.summary(), "**warmd: no batch call went to it**\n")

    def test_unknown_is_said(self):
        cold = checkpoint("t", "2026-01-01T00:00:00.000Z", *warmed(2000))
        restored = checkpoint("t", "2026-01-02T00:00:00.000Z", ("restore", 500), ("verify", 9), ("export", 900))
        for checkpoints in ("", restored, cold + restored, "not json"):
            out = self.summary(self.call(), checkpoints=checkpoints)
            self.assertIn("unknown", out.splitlines()[0])
            self.assertNotIn("saved 1", out)
        self.assertIn("Cold start of `t`: unknown", self.summary(self.call(), checkpoints=restored))
        out = self.summary(self.call(), self.call("u"), self.call(path=None, status=125), checkpoints=cold)
        self.assertTrue(out.startswith("**warmd: saved 2 s in 1 of 3 calls, unknown of the others**\n"), out)
        self.assertIn("| t | not started | 10 ms | unknown | 125 |", out)
        self.away()
        self.assertTrue(self.summary(self.call(), checkpoints=cold).startswith("**warmd: 1 call, time saved unknown**\n"))

    def test_what_was_lost_is_said(self):
        cold = checkpoint("t", "2026-01-01T00:00:00.000Z", *warmed(2000))
        out = self.summary(self.call(path="here", wait=400, status=None), self.call(path="linked", wait=3500), checkpoints=cold)
        self.assertTrue(out.startswith("**warmd: lost 1.9 s in 2 calls**\n"), out)
        self.assertIn("| t | fell back | 400 ms | -400 ms |  |", out)

    def test_other_lines_are_counted_and_not_repeated(self):
        bad = ["words", "[1]", "", self.call(template=HOSTILE), self.call(template="a\n##vso[x]"), self.call(path="##vso[x]"),
               self.call(wait="##vso[x]"), self.call(wait=-1), self.call(path=["pool"])]
        odd = {**self.call(status="##vso[x]"), "at": "##vso[x]"}
        out = self.summary(*bad, odd, self.call())
        self.assertTrue(out.startswith("**warmd: 2 calls, time saved unknown**\n"), out)
        self.assertIn(f"Lines of the log that warmctl has not written: {len(bad)}.", out)
        self.assertNotIn("vso", out)

    def test_a_long_list_is_cut(self):
        out = self.summary(*[self.call()] * 130)
        self.assertEqual(out.count("| t | pool |"), 100)
        self.assertIn("30 more calls are counted and not listed.", out)

    def test_without_jq_it_is_unknown(self):
        tools = self.folder / "tools"
        tools.mkdir()
        for name in ("timeout", "cat", "rm", "rmdir", "mkdir"):
            (tools / name).symlink_to(shutil.which(name))
        self.assertEqual(self.summary(self.call(), path=("bin", "tools")),
                         "**warmd: time saved unknown, because jq is not installed**\n")

    def test_wrong_words_are_refused(self):
        for words in ((), ("prepare",), ("prepare", "travis"), ("summary",), ("remove", "github")):
            done = subprocess.run([STEP, *words], text=True, capture_output=True, timeout=LIMIT)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("usage:", done.stderr)
        for folder in ("relative", "/a:b", "/a\nb"):
            done = subprocess.run([STEP, "prepare", "gitlab"], env={"PATH": os.environ["PATH"], "WARM_DIR": folder}, text=True,
                                  capture_output=True, timeout=LIMIT)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
        done = subprocess.run([STEP, "prepare", "gitlab"], env={"PATH": os.environ["PATH"], "WARM_DIR": "/a", "WARM_STRICT": "maybe"},
                              text=True, capture_output=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 2)


class Structure(unittest.TestCase):
    def test_github(self):
        action = yaml.safe_load(GitHub.ACTION.read_text())
        self.assertEqual(set(action), {"name", "description", "inputs", "runs"})
        self.assertEqual(set(action["runs"]), {"using", "steps"})
        self.assertEqual(action["runs"]["using"], "composite")
        for entry in action["inputs"].values():
            self.assertEqual(set(entry), {"description", "default"})
            self.assertIsInstance(entry["default"], str)
        for step in action["runs"]["steps"]:
            self.assertEqual(set(step), {"name", "if", "shell", "env", "run"})
            self.assertEqual(step["shell"], "bash")
            self.assertNotIn("${{", step["run"] + step["if"])
            for value in step["env"].values():
                self.assertRegex(value, r"^\$\{\{ inputs\.(%s) \}\}$" % "|".join(action["inputs"]))

    def test_gitlab(self):
        document = yaml.safe_load((CI / "gitlab/warmd.yml").read_text())
        self.assertEqual(set(document), {".warmd"})
        self.assertEqual(set(document[".warmd"]), {"variables", "before_script", "after_script"})
        for part in ("before_script", "after_script"):
            self.assertTrue(all(isinstance(line, str) for line in document[".warmd"][part]))
        self.assertTrue(all(isinstance(value, str) for value in document[".warmd"]["variables"].values()))

    def test_azure(self):
        template = yaml.safe_load((CI / "azure/warm-steps.yml").read_text())
        self.assertEqual(set(template), {"parameters", "steps"})
        names = [entry["name"] for entry in template["parameters"]]
        for entry in template["parameters"]:
            self.assertEqual(set(entry), {"name", "type", "default"})
            self.assertIn(entry["type"], ("string", "boolean", "stepList"))
        for step in (step for step in template["steps"] if "bash" in step):
            self.assertLessEqual(set(step), {"bash", "displayName", "condition", "env"})
            self.assertNotIn("${{", step["bash"])
            self.assertNotIn("$(", step["bash"])
            for value in step["env"].values():
                self.assertRegex(value, r"^\$\{\{ parameters\.(%s) \}\}$" % "|".join(names))
        self.assertEqual(template["steps"][-1]["condition"], "always()")

    def test_jenkins(self):
        text = Jenkins.FILE.read_text()
        code = re.sub(r"//.*|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"", lambda m: "" if m[0].startswith("//") else "S", text)
        closing = {")": "(", "]": "[", "}": "{"}
        open_ones = []
        for sign in code:
            if sign in "([{":
                open_ones.append(sign)
            elif sign in closing:
                self.assertEqual(open_ones.pop(), closing[sign])
        self.assertEqual(open_ones, [])
        self.assertNotIn("'", code)
        self.assertNotIn('"', code)
        self.assertRegex(code, r"^\s*def call\(Map options = \[:\], Closure body\) \{")
        self.assertRegex(code, r"try \{\s*withEnv\(environment\) \{\s*body\(\)\s*\}\s*\} finally \{\s*withEnv\(")
        # No value is pasted into a script: both are in single quotes, which Groovy does not expand.
        self.assertEqual(len(re.findall(r"script: '\"\$WARM_STEP\" (?:prepare|summary) jenkins'", text)), 2)
        self.assertEqual(len(re.findall(r"\bscript:", text)), 2)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if yaml is None or not shutil.which("jq"):
        print("ci.steps: skipped: needs PyYAML and jq")
        sys.exit(77)
    warmctl = os.path.abspath(sys.argv.pop(1))
    unittest.main()
