"""YAML with places: which line each value stands in, and what YAML we do not take."""

from pathlib import Path

import pytest

from trunkline.config.document import MAX_DEPTH, parse_document, read_document
from trunkline.config.faults import Faulty

FILE = Path("t.yml")


def fault_of(text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(Faulty) as error:
        parse_document(content, FILE)
    return "\n".join(map(str, error.value.faults))


def faults_in(text: str) -> list[str]:
    return [str(fault) for fault in parse_document(text.encode(), FILE).faults]


def test_every_value_has_its_line() -> None:
    document = parse_document(b"a: 1\nb:\n  c: [x,\n    y]\n", FILE)
    assert document.values == {"a": 1, "b": {"c": ["x", "y"]}}
    lines = {key: (origin.line, origin.column) for key, origin in document.origins.items()}
    assert lines == {
        ("a",): (1, 1),
        ("b",): (2, 1),
        ("b", "c"): (3, 3),
        ("b", "c", 0): (3, 7),
        ("b", "c", 1): (4, 5),
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0.5", 0.5),
        ("1.5e+3", 1500.0),
        ("true", True),
        ("off", False),
        ("null", None),
        ("", None),
        ("~", None),
        ("text", "text"),
        ('"5"', "5"),
        # YAML 1.1 would make 8, 630, 255, a date and 1000 of these
        ("010", "010"),
        ("10:30", "10:30"),
        ("0xff", "0xff"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("1e3", "1e3"),
        ("9" * 5000, "9" * 5000),
        (f"1{'0' * 5000}.0", f"1{'0' * 5000}.0"),
    ],
)
def test_plain_values(written: str, value: object) -> None:
    assert parse_document(f"key: {written}\n".encode(), FILE).values == {"key": value}


@pytest.mark.parametrize("content", [b"", b"\n", b"# nothing\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file_sets_nothing(content: bytes) -> None:
    assert parse_document(content, FILE).values == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", "t.yml:1:1: a list; allowed: settings"),
        ("hunter2", "t.yml:1:1: a single value; allowed: settings"),
        ("a: 1\n\tb: 2\n", "t.yml:2:1: broken YAML"),
        ("a:\n\t- b\n", "(indent with spaces)"),
        ("bind: [*:5000]\n", "stands in quotes"),
        ("bind: [::1]:5000\n", "stands in quotes"),
        ("password: @geheim\n", "stands in quotes"),
        ("password: *geheim\n", "an unusable anchor or alias"),
        ("a: 1\n b: 2\n", "check the indentation"),
        ("a: {b: 1\n", "t.yml:2:1: broken YAML"),
        ("a: 1\n---\nb: 2\n", "several documents"),
        ("a: \x07\n", "t.yml:1:1: a character that is not text"),
        (b"a: 1\nb: \xff\n", "t.yml:2:1: bytes that are not UTF-8 text"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "a character that is not text"),
        ("[" * 5000, f"more than {MAX_DEPTH} levels"),
        ("a: " + "{b: " * 100, f"more than {MAX_DEPTH} levels"),
        ("a: &a [*a]\n", "unfold without end"),
        ("a: [" + "x," * 60_000 + "]", "more than 50000 values"),
    ],
)
def test_no_settings_file(text: str | bytes, told: str) -> None:
    fault = fault_of(text)
    assert told in fault
    assert "geheim" not in fault
    assert "hunter2" not in fault


def test_aliases_that_unfold_without_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "unfold without end" in fault_of("\n".join(lines))


def test_what_is_wrong_in_places_is_found_in_all_of_them() -> None:
    text = "a: 1\nb: {c: 1, c: 2}\na: 2\n5: x\n[x]: y\nd: !!python/none x\ne: !secret hunter2\nf: !x {g: 1}\n"
    assert faults_in(text) == [
        "t.yml:2:11: b.c: the same setting a second time (it stands in line 2 already)",
        "t.yml:3:1: a: the same setting a second time (it stands in line 1 already)",
        't.yml:4:1: "5" as a setting\'s name; allowed: text',
        "t.yml:5:1: a list or a group as a setting's name; allowed: text",
        *[it for it in faults_in(text) if "a YAML tag" in it],
    ]
    assert sum("a YAML tag" in it for it in faults_in(text)) == 3
    assert not any("hunter2" in it for it in faults_in(text))


def test_a_merge_gives_way_to_what_stands_there_itself() -> None:
    document = parse_document(b"a: &a {x: 1, y: {deep: 2}}\nb:\n  <<: *a\n  y: {own: 3}\n", FILE)
    assert document.values["b"] == {"y": {"own": 3}, "x": 1}
    assert {key for key in document.origins if key[0] == "b"} == {("b",), ("b", "x"), ("b", "y"), ("b", "y", "own")}
    assert faults_in("b: {<<: 5}\n") == [
        "t.yml:1:9: b: a merge of something that is no group; allowed: <<: *name of a group"
    ]


def test_control_characters_never_reach_the_terminal() -> None:
    (fault,) = faults_in('"\\e[31mred": 1\n"\\e[31mred": 2\n')
    assert fault.isprintable()
    assert "u001b" in fault


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "a directory (name the file in it)"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to(path), "a file that cannot be read: Too many levels"),
        (lambda path: path.write_bytes(b"#" * 1024 * 1024 + b"#"), "more than 1 MiB"),
    ],
)
def test_files_that_are_none(tmp_path: Path, make: "object", told: str) -> None:
    path = tmp_path / "t.yml"
    make(path)  # type: ignore[operator]
    with pytest.raises(Faulty) as error:
        read_document(path)
    assert str(error.value.faults[0]).startswith(f"{path}: {told}")
