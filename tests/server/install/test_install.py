"""``kwaflux install`` and ``kwaflux check``: put in, updated, checked, taken out whole."""

from __future__ import annotations

import json
import os
import stat
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_hosting.install_layout import INSTALL_FILE, WHEELS, python_tag
from kwaflux_server.cli.main import app
from kwaflux_server.install.host_locations import Host, Machine
from kwaflux_server.install.host_python import HostPython, inspect_python
from kwaflux_server.install.marked_lines import has_block, put_block, remove_block
from kwaflux_testing.packages import bare_environment, run_in
from kwaflux_testing.servers import Place, new_place
from kwaflux_testing.wheels import made_wheel, wheel_of

_OLD = {"zmq/__init__.py": "__version__ = '26.2'\n"}
_MSGPACK = {"msgpack/__init__.py": "version = (1, 0, 9)\n"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python as a host's: nothing in it, not even pip."""
    return bare_environment(tmp_path_factory.mktemp("host") / "env", site_packages_of=())[0]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of real wheels for this Python, and of others that do not fit it."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in ("pyzmq", "msgpack"):
        wheel_of(name, folder)
    for tag in ("cp310-cp310-manylinux_2_17_x86_64", "cp310-cp310-win_amd64"):
        made_wheel(folder, name="pyzmq", version="26.2.1", tag=tag, code=_OLD)
        made_wheel(folder, name="msgpack", version="1.0.9", tag=tag, code=_MSGPACK)
    return folder


@contextmanager
def _at_home(folder: Path, *, rustup: Path) -> Iterator[Path]:
    """Make a folder a person's home."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(folder))
        # pip asks rustc for its version, and rustup then makes a folder in the home.
        patch.setenv("RUSTUP_HOME", str(rustup))
        for name in ("APPDATA", "FUSION_PYTHON3_HOME", "PYTHONHOME"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a person's empty home folder."""
    with _at_home(tmp_path / "home", rustup=tmp_path_factory.mktemp("rustup")) as folder:
        yield folder


@pytest.fixture(scope="module")
def installed(python: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home where Kwaflux is installed for both hosts; tests only look at it."""
    place = tmp_path_factory.mktemp("installed")
    with _at_home(place / "home", rustup=place) as folder:
        for host in ("nuke", "resolve"):
            _run("install", host, "--python", python, "--wheels", wheels)
    return folder


def _run(*arguments: object) -> None:
    app([str(word) for word in arguments], standalone_mode=False)


def _tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _fake_python(path: Path, *, version: tuple[int, int, int] = (3, 10, 10)) -> Path:
    """Return a program that answers as another Python on this system would."""
    this = inspect_python(Path(sys.executable), os.environ)
    answer = {
        "version": list(version),
        "implementation": "cpython",
        "flags": "",
        "system": this.system,
        "machine": "x86_64",
        "bits": 64,
        "libc": ["glibc", "2.28"],
        "mac": "",
    }
    text = (
        f"#!{sys.executable}\nimport json, sys\n"
        f"answer = json.loads({json.dumps(answer)!r})\n"
        "is_asked = 'platform' in sys.argv[4]\n"
        "print('kwaflux:' + json.dumps(answer) if is_asked else 'msgpack, pyzmq')\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


_ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the fakes answer as Linux does")


@pytest.mark.parametrize("host", ["nuke", "resolve"])
def test_installed_twice_is_as_once_and_uninstalled_leaves_nothing(
    home: Path, python: Path, wheels: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _tree(home.parent)
    _run("install", host, "--python", python, "--wheels", wheels)
    told = capsys.readouterr().out
    first = _tree(home)
    roots = [path.parent for path in home.rglob(INSTALL_FILE)]
    assert len(roots) == 1
    assert f"put kwaflux_core, kwaflux_hosting and kwaflux_{host} into {roots[0]}" in told
    assert "pyzmq" in told
    _run("install", host, "--python", python, "--wheels", wheels)
    assert _tree(home) == first
    assert not [path for path in home.rglob(".*") if path.name.lower().startswith(".kwaflux")]
    capsys.readouterr()
    _run("install", host, "--uninstall", "--dry-run")
    assert "would remove" in capsys.readouterr().out
    assert _tree(home) == first
    _run("install", host, "--uninstall")
    assert _tree(home.parent) == before
    assert not list(home.iterdir()), "folders were left"
    capsys.readouterr()
    _run("install", host, "--uninstall")
    assert "not installed" in capsys.readouterr().out


@pytest.mark.parametrize("host", ["nuke", "resolve"])
def test_a_dry_run_tells_everything_and_does_nothing(
    home: Path, python: Path, wheels: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _run("install", host, "--python", python, "--wheels", wheels, "--dry-run")
    told = capsys.readouterr().out
    assert not list(home.iterdir())
    assert f"would put wheels for Python {sys.version.split()[0]}" in told
    assert f"would put kwaflux_core, kwaflux_hosting and kwaflux_{host} into" in told
    assert "Nothing was done" in told


def test_a_persons_own_init_py_keeps_every_byte(home: Path, python: Path, wheels: Path) -> None:
    own = home / ".nuke" / "init.py"
    own.parent.mkdir()
    (home / ".nuke" / "menu.py").write_text("mine")
    text = b"import nuke\r\nnuke.tprint('mine')\r\n"
    own.write_bytes(text)
    _run("install", "nuke", "--python", python, "--wheels", wheels)
    assert own.read_bytes().startswith(text)
    assert own.read_bytes().count(b"pluginAddPath") == 1
    compile(own.read_bytes(), "init.py", "exec")
    _run("install", "nuke", "--uninstall")
    assert own.read_bytes() == text
    assert (home / ".nuke" / "menu.py").read_text() == "mine"


@pytest.mark.parametrize("text", [b"mine = 1\r\n", b"# no line end", b"\n\n"])
def test_lines_put_into_a_file_and_taken_out_leave_every_byte(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "init.py"
    file.write_bytes(text)
    put_block(file, ("ours = 2",))
    assert file.read_bytes().startswith(text)
    assert file.read_bytes().count(b"ours") == 1
    compile(file.read_bytes(), "init.py", "exec")
    remove_block(file)
    assert file.read_bytes() == text


def test_nuke_starts_when_our_folder_is_gone(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (installed / ".nuke" / "init.py").read_text(encoding="utf-8")

    class Nuke:
        @staticmethod
        def pluginAddPath(path: str) -> None:
            raise RuntimeError(f"{path} is not there")

    said: list[str] = []
    monkeypatch.setitem(sys.modules, "nuke", cast("ModuleType", Nuke))
    exec(compile(text, "init.py", "exec"), {"print": said.append})
    assert "is not there" in said[0]


def test_nukes_folder_holds_the_plug_in_and_resolves_the_menus_script(installed: Path) -> None:
    root = installed / ".nuke" / "kwaflux"
    assert {"init.py", "menu.py", INSTALL_FILE, "kwaflux_core", "kwaflux_nuke"} <= {
        path.name for path in root.iterdir()
    }
    assert (root / WHEELS / python_tag() / "zmq" / "__init__.py").is_file()
    assert not list(root.rglob("__pycache__"))
    listed = json.loads((root / INSTALL_FILE).read_text(encoding="utf-8"))
    assert listed["command"] == [sys.executable, "-m", "kwaflux_server"]
    machine = Machine(home=installed, environ={}, system=sys.platform)
    fusion = machine.resolve_folder / "Fusion"
    assert (fusion / "Scripts" / "Utility" / "Kwaflux.py").is_file()
    assert (fusion / "Modules" / "Kwaflux" / "kwaflux_resolve").is_dir()


def test_a_studios_folder_touches_nothing_of_the_person(
    home: Path, tmp_path: Path, python: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = tmp_path / "studio"
    _run("install", "nuke", "--python", python, "--wheels", wheels, "--to", studio)
    assert not list(home.iterdir())
    assert f"add {studio / 'kwaflux'} to NUKE_PATH" in capsys.readouterr().out
    _run("install", "nuke", "--to", studio, "--uninstall")
    assert not studio.exists()


def test_the_installed_client_imports_in_the_hosts_bare_python(
    installed: Path, python: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from kwaflux_hosting.server_link import local_server\n"
        "assert local_server.import_problem() is None, local_server.import_problem()\n"
        "import kwaflux_core, kwaflux_core.client.client\n"
        "assert kwaflux_core.__file__.startswith(sys.argv[1])\n"
        "print(kwaflux_core.__version__, local_server.server_command({})[0])\n"
    )
    said = run_in(tmp_path, [str(python), "-I", "-c", code, str(installed / ".nuke" / "kwaflux")])
    assert said.split()[1] == sys.executable
    assert said.split()[0] != "0+unknown"


@_ONLY_LINUX
def test_each_python_gets_the_wheels_that_fit_it(
    home: Path, python: Path, wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nuke = _fake_python(tmp_path / "python3.10")
    _run("install", "nuke", "--python", nuke, "--python", python, "--wheels", wheels)
    found = home / ".nuke" / "kwaflux" / WHEELS
    tags = {"cp310-linux-x86_64", python_tag()}
    assert {path.name for path in found.iterdir()} == tags
    text = (found / "cp310-linux-x86_64" / "zmq" / "__init__.py").read_text(encoding="utf-8")
    assert text == _OLD["zmq/__init__.py"]


@_ONLY_LINUX
def test_a_python_that_is_too_old_or_has_no_wheels_is_told_and_the_others_go_on(
    home: Path, python: Path, wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = _fake_python(tmp_path / "python3.9", version=(3, 9, 10))
    none = _fake_python(tmp_path / "python3.14", version=(3, 14, 0))
    gone = tmp_path / "gone"
    every = [word for path in (old, none, gone, python) for word in ("--python", path)]
    _run("install", "nuke", *every, "--wheels", wheels)
    told = capsys.readouterr().out
    assert "Python 3.9.10 is older than 3.10" in told
    assert "no wheels for Python 3.14.0" in told
    assert "--wheels DIR" in told
    assert f"{gone} does not run" in told
    folders = (home / ".nuke" / "kwaflux" / WHEELS).iterdir()
    assert {path.name for path in folders} == {python_tag()}


def test_without_a_python_nothing_is_installed_and_the_hint_says_how(
    home: Path, tmp_path: Path
) -> None:
    with pytest.raises(HostError) as caught:
        _run("install", "nuke", "--python", tmp_path / "gone")
    assert "--python" in caught.value.hint
    assert not list(home.iterdir())


def test_wheels_that_do_not_import_leave_the_old_installation_alone(
    home: Path, python: Path, wheels: Path, tmp_path: Path
) -> None:
    _run("install", "nuke", "--python", python, "--wheels", wheels)
    before = _tree(home)
    broken = tmp_path / "broken"
    tag = f"py3-none-{inspect_python(python, os.environ).platforms()[0]}"
    made_wheel(broken, name="pyzmq", version="27.0", tag=tag, code={"zmq/__init__.py": "1 / 0\n"})
    made_wheel(broken, name="msgpack", version="1.0.9", tag=tag, code=_MSGPACK)
    with pytest.raises(HostError, match=r"do not import in it: .*ZeroDivisionError"):
        _run("install", "nuke", "--python", python, "--wheels", broken)
    assert _tree(home) == before


def test_an_unknown_host_is_refused_by_name() -> None:
    with pytest.raises(KwafluxError) as caught:
        _run("install", "flame")
    assert caught.value.hint == "choose nuke or resolve"


def test_our_lines_are_replaced_and_not_doubled(tmp_path: Path) -> None:
    file = tmp_path / "init.py"
    put_block(file, ("first",))
    put_block(file, ("second",))
    assert "first" not in file.read_text()
    assert has_block(file)
    file.write_text(file.read_text() + "after\n")
    remove_block(file)
    assert file.read_text() == "after\n"
    remove_block(file)


# --- where hosts are ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "environ", "folder"),
    [
        ("linux", {}, "home/.local/share/DaVinciResolve"),
        ("darwin", {}, "home/Library/Application Support/Blackmagic Design/DaVinci Resolve"),
        (
            "win32",
            {"APPDATA": "/roaming"},
            "/roaming/Blackmagic Design/DaVinci Resolve/Support",
        ),
    ],
)
def test_resolves_folder_is_the_one_its_readme_names(
    system: str, environ: Mapping[str, str], folder: str
) -> None:
    machine = Machine(home=Path("home"), environ=environ, system=system)
    assert machine.resolve_folder.as_posix() == folder
    assert machine.nuke_folder.as_posix() == "home/.nuke"


@pytest.mark.parametrize(
    ("system", "places"),
    [
        ("linux", ["usr/local/Nuke15.1v2/python3", "opt/Nuke16.0v8/python3.11"]),
        (
            "darwin",
            [
                "Applications/Nuke15.1v2/Nuke15.1v2.app/Contents/MacOS/python3",
                "Applications/Nuke16.0v8/Nuke16.0v8.app/Contents/MacOS/python3",
            ],
        ),
        ("win32", ["Program Files/Nuke15.1v2/python.exe", "Program Files/Nuke16.0v8/python.exe"]),
    ],
)
def test_every_nuke_of_the_machine_is_found_the_newest_first(
    tmp_path: Path, system: str, places: list[str]
) -> None:
    for place in [*places, "usr/local/NukeStuff/python3", "opt/Nuke9.9v9/README"]:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    machine = Machine(home=tmp_path / "home", environ={}, system=system, root=tmp_path)
    found = machine.programs("nuke")
    assert [program.label for program in found] == ["Nuke 16.0v8", "Nuke 15.1v2"]
    assert [program.python for program in found] == [tmp_path / place for place in places[::-1]]


def test_resolve_takes_the_python_it_is_told_before_the_systems(tmp_path: Path) -> None:
    told, system = tmp_path / "told" / "bin" / "python3", tmp_path / "usr" / "bin" / "python3"
    for path in (told, system):
        path.parent.mkdir(parents=True)
        path.touch()
    environ = {"FUSION_PYTHON3_HOME": str(tmp_path / "told")}
    machine = Machine(home=tmp_path, environ=environ, system="linux", root=tmp_path)
    assert [program.python for program in machine.programs("resolve")] == [told, system]


_LINUX = HostPython(
    path=Path("python3"),
    version=(3, 10, 10),
    system="linux",
    machine="x86_64",
    libc=("glibc", "2.17"),
)


def test_a_python_says_which_wheels_it_takes() -> None:
    assert _LINUX.tag == "cp310-linux-x86_64"
    assert _LINUX.abi == "cp310"
    assert _LINUX.platforms()[0] == "manylinux_2_17_x86_64"
    assert "manylinux_2_28_x86_64" not in _LINUX.platforms()
    assert "manylinux2014_x86_64" in _LINUX.platforms()
    windows = replace(_LINUX, system="win32", machine="AMD64", version=(3, 11, 7))
    assert (windows.platforms(), windows.tag) == (("win_amd64",), "cp311-win32-x86_64")
    mac = replace(_LINUX, system="darwin", machine="arm64", mac="14.6.1")
    assert mac.platforms() == ("macosx_14_0_arm64",)
    old_mac = replace(_LINUX, system="darwin", machine="x86_64", mac="10.15.7")
    assert old_mac.platforms() == ("macosx_10_15_x86_64",)
    musl = replace(_LINUX, libc=("", ""))
    assert musl.platforms()[0] == "musllinux_1_2_x86_64"
    assert replace(_LINUX, version=(3, 14, 0), flags="t").abi == "cp314t"
    assert replace(_LINUX, version=(3, 9, 1)).is_old


# --- check --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_place(effects_folder: Path) -> Iterator[Place]:
    """Give a place where the first check starts a server, and the next finds it."""
    with new_place(effects_folder) as place:
        yield place
        place.command_in_process("stop")


@pytest.fixture
def own(shared_place: Place, home: Path) -> Place:
    """Return a place whose commands are those of this tree."""
    path = os.pathsep.join([shared_place.environ["PYTHONPATH"], *filter(None, sys.path)])
    return shared_place.with_settings({"PYTHONPATH": path, "HOME": str(home)})


@pytest.mark.parametrize("host", ["nuke", "resolve"])
def test_a_check_goes_the_hosts_transport_in_its_own_python_and_writes_a_bundle(
    own: Place, python: Path, wheels: Path, tmp_path: Path, host: Host
) -> None:
    asked_too_early = own.command_in_process("check", host)
    assert asked_too_early.returncode == 2
    assert f"kwaflux install {host}" in asked_too_early.stderr
    done = own.command_in_process("install", host, "--python", str(python), "--wheels", str(wheels))
    assert done.returncode == 0, done.stderr
    done = own.command("check", host, "--out", str(tmp_path / "check"), "--json", timeout_s=180)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["event"], report["is_good"], report["transport"]) == ("report", True, "path")
    assert report["python"] == python_tag()
    with zipfile.ZipFile(report["bundle"]) as archive:
        about = json.loads(archive.read("about.json"))
        assert json.loads(archive.read("installed.json"))["host"] == host
    assert about["packages"]["pyzmq"] != "not installed"
    assert about["import_problem"] == ""
