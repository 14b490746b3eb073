from sirend.publish.mqtt.topics import Topics

TOPICS = Topics("city/sirend", "main-5th")


def test_the_names_are_those_of_the_contract() -> None:
    assert TOPICS.availability == "city/sirend/main-5th/availability"
    assert TOPICS.health == "city/sirend/main-5th/health"
    assert TOPICS.state("north") == "city/sirend/main-5th/north/emergency"
    assert TOPICS.event("north") == "city/sirend/main-5th/north/event"
    assert TOPICS.states == "city/sirend/main-5th/+/emergency"


def test_only_a_state_of_this_site_names_an_approach() -> None:
    assert TOPICS.approach_of(TOPICS.state("north")) == "north"
    for foreign in (
        TOPICS.event("north"),
        TOPICS.health,
        "city/sirend/other/north/emergency",
        TOPICS.root + "/emergency",
    ):
        assert TOPICS.approach_of(foreign) is None
