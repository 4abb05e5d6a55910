"""The tables agree with the systems and the goals; what is sent by hand is what the protocol says. Without any server."""

import unittest
from unittest import mock

from comparison import network
from comparison.command import chosen, flags, report, run_all
from comparison.figures import Trouble
from comparison.scenarios import SCENARIOS
from comparison.systems import SYSTEMS
from comparison.table import OURS, PROBES

ALL = [scenario for scenarios in SCENARIOS.values() for scenario in scenarios]


def setUpModule():
    quiet = mock.patch("comparison.command.say")
    quiet.start()
    unittest.addModuleCleanup(quiet.stop)


class Scenarios(unittest.TestCase):
    def test_each_system_understands_what_it_is_sent(self):
        for scenario in ALL:
            for name, protocol in scenario.variants:
                self.assertIn(protocol, SYSTEMS[name].PROTOCOLS, scenario.name)
                self.assertIn((OURS, protocol), scenario.variants, "a column without ours has no ratio")

    def test_each_goal_has_its_row_and_its_columns(self):
        for scenario in ALL:
            keys = [row.key for row in scenario.rows]
            self.assertEqual(len(keys), len(set(keys)), scenario.name)
            for goal in scenario.goals:
                self.assertIn(goal.key, keys, scenario.name)
                self.assertTrue(goal.peer in PROBES or (goal.peer, goal.protocol) in scenario.variants, scenario.name)
        self.assertEqual(len({scenario.name for scenario in ALL}), len(ALL))

    def test_flags_choose(self):
        options = flags(["--scenario", "100k", "--systems", "emberkeep,victoria-metrics", "--protocols", "1", "--series", "7"])
        plan = list(chosen(options))
        self.assertEqual([(s.name, s.load.series, s.load.scrapes) for s, _ in plan], [("100k", 7, 40), ("100k-4", 7, 40)])
        self.assertEqual(plan[0][1], [("emberkeep", 1), ("victoria-metrics", 1)])


class Bench:
    """Runs that take no time: the second system of the first repeat fails."""

    def __init__(self):
        self.order = []

    def run(self, scenario, variant, is_first):
        self.order.append((scenario.name, variant[0], is_first))
        if variant[0] != OURS and is_first:
            raise Trouble("it\nbroke")
        return {"rate": 2.0 if variant[0] == OURS else 1.0, "cpu": 1.0}


class Order(unittest.TestCase):
    def test_systems_take_turns_and_a_failure_is_told(self):
        arguments = ["--scenario", "100k", "--systems", "emberkeep,victoria-metrics", "--protocols", "1", "--repeats", "2"]
        options, bench = flags(arguments), Bench()
        results, failures = run_all(bench, list(chosen(options)), options)
        each = [("100k", "emberkeep"), ("100k", "victoria-metrics"), ("100k-4", "emberkeep"), ("100k-4", "victoria-metrics")]
        self.assertEqual(bench.order, [(*who, True) for who in each] + [(*who, False) for who in each])
        text = report("head", results, failures)
        self.assertIn("| samples/s | 2.00 | 1.00 [2.00] |", text)
        self.assertIn("- 100k-4, victoria-metrics, 1.0: it broke", text)
        self.assertIn("goal >= 5.0: **not met**", text)

    def test_no_run_begins_without_time(self):
        options, bench = flags(["--minutes", "0"]), Bench()
        results, _ = run_all(bench, list(chosen(options)), options)
        self.assertEqual(bench.order, [])
        self.assertNotIn("###", report("head", results, []))


class Wire(unittest.TestCase):
    def test_varints(self):
        self.assertEqual([network.varint(n) for n in (0, 127, 128, 300)], [b"\0", b"\x7f", b"\x80\x01", b"\xac\x02"])

    def test_a_sample_is_a_write_request(self):
        body = network.one_sample(1)
        # Length of the block, one literal; then WriteRequest{timeseries{label, sample{timestamp}}}.
        self.assertEqual(body[:2], bytes([len(body) - 2, (len(body) - 3) << 2]))
        self.assertEqual(body[2:], b"\x0a\x1d\x0a\x17\x0a\x08__name__\x12\x0bReady_again\x12\x02\x10\x01")

    def test_lines_are_counted_over_pieces(self):
        lines = network.Lines()
        for piece in (b"a\nb", b"c\n", b"\n"):
            lines(piece)
        self.assertEqual((lines.count, lines.first), (3, b"a\nb"))


if __name__ == "__main__":
    unittest.main()
