"""site.toml: what is written is what is read, and a wrong setting is named."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.error import BadInput, NotFound
from catalog.key import PrivateKey
from node.config import Address, Config, Folder, read_config, site_toml, work_folder
from node.stepsettings import StepSettings

ROOT = PrivateKey(bytes(32)).did
HERE = Address("127.0.0.1", 4103)


def config(name: str = "St. Anna", **changes: Address | bool | StepSettings) -> Config:
    return Config(**({"name": name, "root": ROOT, "control": HERE, "bulk": HERE, "api": HERE} | changes))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_settings_read_back_under_any_name(tmp_path, name):
    """Lost: a site whose own settings it cannot read."""
    folder = Folder(tmp_path)
    folder.config.write_bytes(site_toml(config(name)).encode())
    assert read_config(folder) == config(name)


@pytest.mark.parametrize("name", ['a"\nroot = "x', "a\n[api]\nhost = '0.0.0.0'", '"""', "\x7f\x00"])
def test_a_name_is_no_setting(tmp_path, name):
    """Lost: whoever names a site opens its local interface to the network."""
    folder = Folder(tmp_path)
    folder.config.write_text(site_toml(config(name)))
    assert read_config(folder) == config(name)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "2001:db8::1", "node.st-anna.example", "localhost", "xn--sd-xka.example"]
)
def test_hosts_of_every_kind(host):
    assert Address(host, 1).host == host


@pytest.mark.parametrize(
    "host", ["", " ", "a b", 'a"', "a\n", "a/b", "a@b", "[::1]", "http://a", "süd.example", "-a", "a" * 300, "$(a)"]
)
def test_what_is_no_host_is_refused(host):
    """Lost: text that ends up in a file, in an address, and in what every other member is told."""
    with pytest.raises(BadInput, match="no host") as refusal:
        Address(host, 1)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("address", "multiaddr", "url"),
    [
        (Address("10.0.0.1", 41), "/ip4/10.0.0.1/tcp/41", "https://10.0.0.1:41"),
        (Address("2001:db8::1", 41), "/ip6/2001:db8::1/tcp/41", "https://[2001:db8::1]:41"),
        (Address("a.example", 41), "/dns/a.example/tcp/41", "https://a.example:41"),
    ],
)
def test_an_address_as_others_write_it(address, multiaddr, url):
    assert (address.multiaddr, address.url) == (multiaddr, url)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "a.example", "localhost.example", "127.0.0.1.example"])
def test_the_local_interface_is_on_loopback_alone(tmp_path, host):
    """Lost: the network reaches what only the token protects."""
    folder = Folder(tmp_path)
    folder.config.write_text(site_toml(config(api=Address(host, 1))))
    with pytest.raises(BadInput, match="loopback"):
        read_config(folder)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "St. Anna"', "", "«name»"),
        ('name = "St. Anna"', "name = 5", "«name»"),
        ('name = "St. Anna"', 'name = ""', "«name»"),
        (f'root = "{ROOT}"', "", "«root»"),
        (f'root = "{ROOT}"', 'root = "St. Anna"', "«root»"),
        (f'root = "{ROOT}"', f'root = "{ROOT} "', "«root»"),
        ("[bulk]", "[bulky]", "[bulk]"),
        ("[bulk]", "bulk = 5\n[x]", "[control] bulk is no setting"),
        ("port = 4103\n\n[bulk]", "port = 0\n\n[bulk]", "[control]"),
        ("port = 4103\n\n[bulk]", "port = 65536\n\n[bulk]", "[control]"),
        ("port = 4103\n\n[bulk]", "port = true\n\n[bulk]", "[control]"),
        ("port = 4103\n\n[bulk]", 'port = "1"\n\n[bulk]', "[control]"),
        ('[control]\nhost = "127.0.0.1"', '[control]\nhost = ""', "[control]"),
        ('[control]\nhost = "127.0.0.1"', "[control]", "[control]"),
        ("inbound = true", "inbound = 1", "[reach]"),
        ("inbound = true", "inbuond = true", "[reach] inbuond is no setting; it has: inbound"),
        ("[reach]", "[raech]", "[raech] is no section; the file has: name, root, [control], [bulk]"),
        ("[reach]", "[dokcer]\n[reach]", "[dokcer] is no section"),
        ("[reach]", "[kubo]\nlisten_on = []\n[reach]", "[kubo] listen_on is no setting"),
        ("[reach]", "[[kubernetes]]\n[reach]", "[kubernetes] must be a section"),
        ('name = "St. Anna"', 'nane = 1\nname = "St. Anna"', "«nane» is no setting"),
        ("inbound = true", 'inbound = "no"', "[reach]"),
        ("[api]", "[api", "line"),
        ("[api]", "x = " + "[" * 5000, "mend"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path, old, new, named):
    """Lost: a node that starts without what its operator wrote, for a word that was misspelt."""
    folder = Folder(tmp_path)
    text = site_toml(config())
    assert old in text
    folder.config.write_text(text.replace(old, new, 1))
    with pytest.raises(BadInput) as refusal:
        read_config(folder)
    assert named in str(refusal.value)
    assert str(folder.config) in str(refusal.value)


def test_a_site_is_reached_unless_it_says_otherwise(tmp_path):
    """Lost: a hospital that opens ports although its operator said that it only dials out, or one that others miss."""
    folder = Folder(tmp_path)
    for inbound in (True, False):
        folder.config.write_text(site_toml(config(inbound=inbound)))
        assert read_config(folder).inbound is inbound
    old = site_toml(config()).replace("[reach]\ninbound = true\n", "")
    folder.config.write_text(old)
    assert read_config(folder).inbound


@pytest.mark.parametrize(
    ("control", "bulk", "inbound", "shared", "listens"),
    [
        (443, 443, True, True, False),
        (4101, 4102, True, False, True),
        (4101, 4102, False, False, False),
        (443, 443, False, True, False),
    ],
)
def test_what_a_site_listens_on(control, bulk, inbound, shared, listens):
    places = {"control": Address("10.0.0.1", control), "bulk": Address("10.0.0.1", bulk)}
    made = config(**places, inbound=inbound)
    assert (made.shared, made.listens) == (shared, listens)


@pytest.mark.parametrize("data", [b"\xff\xfe", "name = 'Süd'".encode("latin-1")])
def test_settings_in_another_encoding_are_refused(tmp_path, data):
    (tmp_path / "site.toml").write_bytes(data)
    with pytest.raises(BadInput, match="cannot be read"):
        read_config(Folder(tmp_path))


def test_a_folder_that_is_no_site_is_told_how_to_become_one(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotFound, match="comity site init"):
            read_config(Folder(path))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFound, match="is not a site"):
        read_config(Folder(tmp_path / "file"))


def test_steps_are_staged_where_the_operator_says(tmp_path):
    """Lost: what steps read lies on a disk although the operator set a folder in memory."""
    folder = Folder(tmp_path)
    folder.config.write_text(site_toml(config()))
    assert work_folder(folder, read_config(folder)) == tmp_path / "work"
    folder.config.write_text(site_toml(replace(config(), steps=StepSettings(staging=Path("/dev/shm")))))
    place = work_folder(folder, read_config(folder))
    assert place.parent == Path("/dev/shm")
    assert place != work_folder(folder, replace(read_config(folder), root=PrivateKey(bytes([1]) * 32).did))


@pytest.mark.parametrize("value", ['"shm"', '"~/shm"', "1", "[]", '"/dev\\u0000"'])
def test_a_staging_folder_that_is_no_whole_path_is_named(tmp_path, value):
    folder = Folder(tmp_path)
    folder.config.write_text(site_toml(config()).replace('# staging = "/dev/shm"', f"staging = {value}"))
    with pytest.raises(BadInput, match="staging must be the whole path"):
        read_config(folder)
