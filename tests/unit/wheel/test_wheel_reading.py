from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.tags import Tag
from packaging.version import Version
from wheel_files import FILES, INFO, METADATA, WHEEL, write_wheel

from cudawheel.errors import StoreError, WheelError
from cudawheel.wheel.reading import Wheel


def with_file(name: str, data: bytes = b"x") -> list[tuple[str, bytes]]:
    return [*FILES.items(), (name, data)]


def test_a_good_wheel_is_read_whole(tmp_path: Path) -> None:
    wheel = Wheel.read(write_wheel(tmp_path))
    assert (wheel.name, wheel.version, wheel.build, wheel.dist_info) == ("demo-ext", Version("1.0"), (), INFO)
    assert wheel.tags == wheel.declared_tags == {Tag("cp312", "cp312", "linux_x86_64")}
    assert [member.name for member in wheel.members] == sorted([*FILES, f"{INFO}/RECORD"])
    assert [requirement.name for requirement in wheel.requirements] == ["numpy", "Torch", "torch", "torchvision"]
    assert wheel.verify_record() == ()
    with wheel.open("demo_ext/__init__.py") as source:
        assert source.read() == FILES["demo_ext/__init__.py"]


def test_folder_entries_are_no_members(tmp_path: Path) -> None:
    wheel = Wheel.read(write_wheel(tmp_path, [("demo_ext/", b""), *FILES.items()], record=b""))
    assert "demo_ext/" not in {member.name for member in wheel.members}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/etc/passwd", "is absolute"),
        ("C:/windows/system.ini", "is absolute"),
        ("../outside.py", "does not stay inside"),
        ("demo_ext/../../outside.py", "does not stay inside"),
        ("demo_ext/./x.py", "shortest form"),
        ("demo_ext//x.py", "shortest form"),
        ("demo_ext\\x.py", "backslash"),
        ("demo_ext/\nx.py", "control character"),
    ],
)
def test_unsafe_names_are_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(WheelError, match="unsafe name") as caught:
        Wheel.read(write_wheel(tmp_path, with_file(name)))
    assert says in caught.value.why
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("demo_ext/__init__.py", "twice"),
        ("Demo_Ext/__INIT__.py", "holds both"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_one_file_somewhere_are_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(WheelError, match=says):
        Wheel.read(write_wheel(tmp_path, with_file(name)))


def test_names_that_differ_in_unicode_form_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="holds both"):
        Wheel.read(write_wheel(tmp_path, [*with_file("demo_ext/\u00e9.py"), ("demo_ext/e\u0301.py", b"")]))


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="symbolic link"):
        Wheel.read(write_wheel(tmp_path, mode=0o120777))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"demo_ext/__init__.py": b""}, r"no \.dist-info/?|holds no"),
        ({**FILES, "other-2.0.dist-info/METADATA": b"Name: other\n"}, r"more than one \.dist-info"),
        ({name: data for name, data in FILES.items() if not name.endswith("WHEEL")}, "holds no .*/WHEEL"),
        ({**FILES, f"{INFO}/METADATA": METADATA.replace(b"demo-ext", b"other")}, "not what its name says"),
        ({**FILES, f"{INFO}/METADATA": METADATA.replace(b"1.0", b"1.1")}, "not what its name says"),
        ({**FILES, f"{INFO}/METADATA": METADATA.replace(b"1.0", b"one")}, "not what its name says"),
        ({**FILES, f"{INFO}/METADATA": b"\xff\xfe"}, "not UTF-8"),
        ({**FILES, f"{INFO}/WHEEL": b"no header\n"}, "no header"),
    ],
)
def test_wheels_that_contradict_themselves_are_refused(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    with pytest.raises(WheelError, match=says) as caught:
        Wheel.read(write_wheel(tmp_path, list(files.items())))
    assert caught.value.remedy


def test_a_wheel_without_dist_info_says_so(tmp_path: Path) -> None:
    path = tmp_path / "demo_ext-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo_ext.py", "")
    with pytest.raises(WheelError, match=r"holds no \.dist-info folder"):
        Wheel.read(path)


def test_a_file_name_that_is_no_wheels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="not the name of a wheel"):
        Wheel.read(write_wheel(tmp_path, name="demo.whl"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="does not exist"):
        Wheel.read(tmp_path / "demo_ext-1.0-py3-none-any.whl")


def test_requirements_that_are_none_are_refused(tmp_path: Path) -> None:
    metadata = METADATA.replace(b"numpy>=1.26", b"numpy >=> 1")
    wheel = Wheel.read(write_wheel(tmp_path, list({**FILES, f"{INFO}/METADATA": metadata}.items())))
    with pytest.raises(WheelError, match="is not a requirement"):
        _ = wheel.requirements


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.floats(0, 1))
def test_a_wheel_cut_short_is_an_error_of_ours(tmp_path: Path, kept: float) -> None:
    path = write_wheel(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int((len(data) - 1) * kept)])
    with pytest.raises(WheelError, match="cannot be read as a wheel"):
        Wheel.read(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_found_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    path = write_wheel(tmp_path, compression=data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        wheel = Wheel.read(path)
        if wheel.verify_record():
            return
    except WheelError:
        return
    with wheel.open("demo_ext/_C.so") as source:
        assert source.read() == FILES["demo_ext/_C.so"]


def test_every_kind_of_record_mismatch_is_found(tmp_path: Path) -> None:
    good = write_wheel(tmp_path)
    with zipfile.ZipFile(good) as archive:
        lines = archive.read(f"{INFO}/RECORD").decode().splitlines()
    line = {text.split(",")[0]: text for text in lines}
    record = [
        line["demo_ext/__init__.py"].replace("sha256=", "sha256=AAAA"),
        line["demo_ext-1.0.data/scripts/demo"] + "0",
        f"{INFO}/METADATA,md5=abc,1",
        f"{INFO}/licenses/LICENSE,,",
        line[f"{INFO}/WHEEL"],
        line[f"{INFO}/WHEEL"],
        "demo_ext/gone.py,sha256=x,1",
        f"{INFO}/RECORD,,",
    ]
    wheel = Wheel.read(write_wheel(tmp_path, record="\n".join(record).encode()))
    found = {mismatch.path: str(mismatch) for mismatch in wheel.verify_record()}
    assert "sha256=AAAA" in found["demo_ext/__init__.py"]
    assert "bytes" in found["demo_ext-1.0.data/scripts/demo"]
    assert "sha256 or better" in found[f"{INFO}/METADATA"]
    assert "no hash" in found[f"{INFO}/licenses/LICENSE"]
    assert "second line" in found[f"{INFO}/WHEEL"]
    assert "none in the wheel" in found["demo_ext/gone.py"]
    assert "RECORD says no such file" in found["demo_ext/_C.so"]
    assert len(found) == 7


@pytest.mark.parametrize("record", [b"only,two", b'demo,"sha256=x,1'])
def test_a_record_that_is_no_csv_is_refused(tmp_path: Path, record: bytes) -> None:
    with pytest.raises(WheelError, match="RECORD"):
        Wheel.read(write_wheel(tmp_path, record=record))


def test_extraction_writes_members_with_plain_modes(tmp_path: Path) -> None:
    wheel = Wheel.read(write_wheel(tmp_path, mode=0o100777))
    (written,) = wheel.extract(tmp_path / "out", ["demo_ext/__init__.py"])
    assert written.read_bytes() == FILES["demo_ext/__init__.py"]
    assert written.stat().st_mode & 0o777 & ~0o022 == 0o755
    assert len(wheel.extract(tmp_path / "all")) == len(FILES) + 1


def test_extraction_never_follows_a_link_that_lies_in_wait(tmp_path: Path) -> None:
    wheel = Wheel.read(write_wheel(tmp_path))
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out" / "demo_ext").mkdir(parents=True)
    (tmp_path / "out" / "demo_ext" / "__init__.py").symlink_to(victim)
    with pytest.raises(StoreError, match="cannot be unpacked"):
        wheel.extract(tmp_path / "out")
    assert victim.read_text() == "mine"


def test_a_member_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="holds no"), Wheel.read(write_wheel(tmp_path)).open("nothing"):
        pass


def test_tags_of_the_wheel_file_are_read_apart_from_the_names(tmp_path: Path) -> None:
    files = {**FILES, f"{INFO}/WHEEL": WHEEL.replace(b"linux_x86_64", b"manylinux_2_28_x86_64.linux_x86_64")}
    wheel = Wheel.read(write_wheel(tmp_path, list(files.items())))
    assert {tag.platform for tag in wheel.declared_tags} == {"manylinux_2_28_x86_64", "linux_x86_64"}
