"""Asking Patroni over real HTTP: answers, bad manners, TLS, passwords, and what is said when it goes wrong."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.authority import Authority, new_authority, server_tls
from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.config.settings import ApiSettings
from trunkline.errors import PatroniError, WrongScopeError
from trunkline.model.cluster import Role
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_patroni import Answer, FakePatroni

DATA = Path(__file__).parents[1] / "data" / "patroni" / "4.1.5"


def api(**settings: object) -> ApiSettings:
    return ApiSettings.model_validate({"timeout_s": 1.0, **settings})


def recorded(name: str, status: int = 200) -> Answer:
    return Answer(body=(DATA / f"{name}.json").read_bytes(), status=status)


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as cluster:
        yield cluster


@pytest.fixture
async def patroni() -> AsyncIterator[FakePatroni]:
    answers = {"/cluster": recorded("cluster"), "/config": recorded("config"), "/patroni": recorded("member_primary")}
    async with FakePatroni(answers) as patroni:
        yield patroni


async def refusal(url: str, **settings: object) -> PatroniError:
    """Why asking for the cluster fails; it must not take longer than the deadline."""
    began = time.monotonic()
    async with PatroniRest(api(**settings)) as rest:
        with pytest.raises(PatroniError) as error:
            await rest.cluster(url)
    assert time.monotonic() - began < 2
    assert url in error.value.message or "certificate" in error.value.message or "address" in error.value.message
    assert "\n" not in error.value.message
    assert error.value.hint
    return error.value


async def test_a_view_has_members_and_configuration(patroni: FakePatroni) -> None:
    async with PatroniRest(api()) as rest:
        view = await rest.view([patroni.url])
    assert view.scope == "demo"
    assert view.leader is not None
    assert view.leader.name == "pg2"
    assert (view.config.ttl_s, view.config.max_connections) == (20, 100)


@pytest.mark.parametrize("ending", ["", "/", "/patroni", "/patroni/"])
async def test_patronis_own_path_does_not_matter(patroni: FakePatroni, ending: str) -> None:
    async with PatroniRest(api()) as rest:
        await rest.cluster(patroni.url + ending)
        await rest.member(patroni.url + ending)
    assert patroni.requests == ["/cluster", "/patroni"]


async def test_every_request_is_a_connection_of_its_own(cluster: FakeCluster) -> None:
    async with PatroniRest(api()) as rest:
        for _ in range(20):
            await rest.config(cluster.urls[0])
    assert cluster.apis["pg1"].requests == ["/config"] * 20


async def test_the_refusal_of_a_role_check_is_an_answer(cluster: FakeCluster) -> None:
    async with PatroniRest(api()) as rest:
        primary, replica = [await rest.member(url, "/primary") for url in cluster.urls[:2]]
    assert (primary.status_code, primary.accepts_writes) == (200, True)
    assert (replica.status_code, replica.accepts_writes, replica.role) == (503, False, Role.REPLICA)


async def test_a_dead_postgres_fails_the_truth_check_while_the_status_lies(cluster: FakeCluster) -> None:
    cluster.stories["pg1"].is_alive = False
    async with PatroniRest(api()) as rest:
        answer = await rest.member(cluster.urls[0], "/primary")
    assert (answer.status_code, answer.accepts_writes, answer.state) == (200, False, "unknown")


async def test_patroni_3_0_says_no_scope_in_its_list() -> None:
    async with FakeCluster(speaks_3_0=True) as old, PatroniRest(api()) as rest:
        view = await rest.view(old.urls, scope="demo")
    assert view.scope == "demo"
    assert [member.role for member in view.members] == [Role.PRIMARY, Role.REPLICA, Role.REPLICA]


async def test_the_first_usable_answer_wins(cluster: FakeCluster) -> None:
    cluster.apis["pg1"].fall_silent()
    await cluster.apis["pg2"].refuse()
    began = time.monotonic()
    async with PatroniRest(api(timeout_s=20)) as rest:
        view = await rest.view(cluster.urls)
    assert time.monotonic() - began < 2
    assert [member.name for member in view.members] == ["pg1", "pg2", "pg3"]


async def test_members_and_configuration_are_one_members_word(cluster: FakeCluster) -> None:
    cluster.apis["pg1"].answers["/config"] = Answer(body=b"", status=503)
    async with PatroniRest(api()) as rest:
        view = await rest.view(cluster.urls[:2])
    assert view.config.ttl_s == 20


async def test_nobody_usable_names_each_with_its_reason(cluster: FakeCluster) -> None:
    cluster.apis["pg1"].fall_silent()
    await cluster.apis["pg2"].refuse()
    cluster.apis["pg3"].answers["/cluster"] = Answer(body=b"<html>")
    async with PatroniRest(api(timeout_s=0.3)) as rest:
        with pytest.raises(PatroniError) as error:
            await rest.view(cluster.urls)
    first, *reasons = error.value.message.split("\n")
    assert first.startswith("none of 3")
    assert len(reasons) == 3
    for url, why in zip(cluster.urls, ["no answer within 0.3 s", "cannot be reached", "it is no JSON"], strict=True):
        assert any(url in reason and why in reason for reason in reasons)
    assert error.value.hint


async def test_nobody_to_ask() -> None:
    async with PatroniRest(api()) as rest:
        with pytest.raises(PatroniError, match="no Patroni to ask"):
            await rest.view([])


async def test_another_cluster_is_not_ours(cluster: FakeCluster) -> None:
    async with PatroniRest(api()) as rest:
        with pytest.raises(WrongScopeError, match="'demo', not to 'other'"):
            await rest.view(cluster.urls, scope="other")


async def test_a_member_of_another_cluster_does_not_answer_for_ours(cluster: FakeCluster) -> None:
    async with FakeCluster(("x1",), leader="x1", scope="foreign") as foreign, PatroniRest(api()) as rest:
        view = await rest.view([*foreign.urls, *cluster.urls], scope="demo")
    assert view.scope == "demo"


async def test_refused(patroni: FakePatroni) -> None:
    await patroni.refuse()
    assert "cannot be reached" in (await refusal(patroni.url)).message


async def test_silent(patroni: FakePatroni) -> None:
    patroni.fall_silent()
    assert "no answer within 0.3 s" in (await refusal(patroni.url, timeout_s=0.3)).message


async def test_silence_that_ends_in_time_is_an_answer(patroni: FakePatroni) -> None:
    patroni.fall_silent()
    asyncio.get_running_loop().call_later(0.2, patroni.speak)
    async with PatroniRest(api()) as rest:
        assert (await rest.cluster(patroni.url)).scope == "demo"


async def test_a_name_that_leads_nowhere() -> None:
    assert "leads to no address" in (await refusal("http://no-such-host.invalid:8008")).message


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"{}", b'{"members": 3}', b"\xff\xfe", b"null"])
async def test_not_a_patroni(patroni: FakePatroni, body: bytes) -> None:
    patroni.answers["/cluster"] = Answer(body=body)
    assert "not the answer of a Patroni" in (await refusal(patroni.url)).message


@pytest.mark.parametrize("status", [404, 500, 503, 302])
async def test_another_status(patroni: FakePatroni, status: int) -> None:
    patroni.answers["/cluster"] = Answer(body=b"", status=status)
    assert f"answered with status {status}" in (await refusal(patroni.url)).message


async def test_a_redirection_is_not_followed(patroni: FakePatroni, cluster: FakeCluster) -> None:
    """Who answers elsewhere is not the member that was asked."""
    patroni.answers["/cluster"] = Answer(body=b"", status=302, location=f"{cluster.urls[0]}/cluster")
    assert "answered with status 302" in (await refusal(patroni.url)).message


async def test_an_answer_without_end(patroni: FakePatroni) -> None:
    patroni.answers["/cluster"] = Answer(body=b" " * 5_000_000)
    assert "more than" in (await refusal(patroni.url)).message


async def test_not_http() -> None:
    async def banner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async with await asyncio.start_server(banner, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "no answer that can be understood" in (await refusal(f"http://127.0.0.1:{port}")).message


async def test_a_password_is_asked_for() -> None:
    async with FakePatroni({"/cluster": recorded("cluster")}, login=("ann", "s3crét")) as patroni:
        assert "user and a password" in (await refusal(patroni.url)).message
        wrong = await refusal(patroni.url, username="ann", password="wrong-one", authenticate_checks=True)
        assert "wrong-one" not in wrong.message + wrong.hint
        async with PatroniRest(api(username="ann", password="s3crét", authenticate_checks=True)) as rest:
            assert (await rest.cluster(patroni.url)).scope == "demo"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("tls"))


async def test_tls_with_our_own_authority(authority: Authority) -> None:
    async with FakePatroni({"/cluster": recorded("cluster")}, tls=server_tls(authority)) as patroni:
        async with PatroniRest(api(ca_file=authority.ca)) as rest:
            assert (await rest.cluster(patroni.url)).scope == "demo"
        assert "is not trusted" in (await refusal(patroni.url)).message
        async with PatroniRest(api(verify=False)) as rest:
            assert (await rest.cluster(patroni.url)).scope == "demo"


async def test_tls_with_a_name_in_the_certificate(authority: Authority) -> None:
    tls = server_tls(authority, "DNS:patroni.example.org")
    async with FakePatroni({"/cluster": recorded("cluster")}, tls=tls) as patroni:
        assert "is not trusted" in (await refusal(patroni.url, ca_file=authority.ca)).message
        async with PatroniRest(api(ca_file=authority.ca, server_name="patroni.example.org")) as rest:
            assert (await rest.cluster(patroni.url)).scope == "demo"


async def test_tls_with_a_client_certificate(authority: Authority) -> None:
    tls = server_tls(authority, asks_for_client=True)
    client = authority.issue("client", "DNS:trunkline")
    async with FakePatroni({"/cluster": recorded("cluster")}, tls=tls) as patroni:
        async with PatroniRest(api(ca_file=authority.ca, cert_file=client)) as rest:
            assert (await rest.cluster(patroni.url)).scope == "demo"
        await refusal(patroni.url, ca_file=authority.ca)


async def test_https_where_there_is_none(patroni: FakePatroni) -> None:
    assert "no TLS with" in (await refusal(patroni.url.replace("http:", "https:"))).message


async def test_http_where_there_is_https(authority: Authority) -> None:
    async with FakePatroni(tls=server_tls(authority)) as patroni:
        error = await refusal(patroni.url.replace("https:", "http:"))
    assert "https" in error.hint


@pytest.mark.parametrize("field", ["ca_file", "cert_file"])
async def test_certificates_that_cannot_be_read(tmp_path: Path, field: str) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(PatroniError) as error:
            async with PatroniRest(api(**{field: path})):
                pass
        assert str(path) in error.value.message
        assert f"api.{field}" in error.value.hint
