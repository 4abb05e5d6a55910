"""`python3 -m unittest discover -s benches -t benches`: the arithmetic and the table, without any server."""

import unittest

from comparison.figures import Trouble, exposition, key_values, number, ratio, spread, total_of, with_range
from comparison.table import Goal, Row, goals_text, markdown


class Figures(unittest.TestCase):
    def test_the_last_line_of_pairs_counts(self):
        pairs = key_values("starting a=1\nsamples=12 seconds=0.50 rate=1e6 word=x2 ack_p99_ms=nan tail\n")
        self.assertEqual((pairs["samples"], pairs["seconds"], pairs["rate"], pairs["word"]), (12, 0.5, 1e6, "x2"))
        self.assertIsInstance(pairs["samples"], int)
        self.assertNotIn("a", pairs)
        with self.assertRaises(Trouble):
            key_values("nothing\n")

    def test_a_metrics_page_is_read_with_labels(self):
        page = exposition('# HELP a b\na{x="1 2"} 3\na{x="}"} 4.5 17\nab 1\nbroken x\n')
        self.assertEqual(page, {'a{x="1 2"}': 3.0, 'a{x="}"}': 4.5, "ab": 1.0})
        self.assertEqual(total_of(page, "a"), 7.5)
        self.assertIsNone(total_of(page, "b"))

    def test_medians_and_ranges(self):
        self.assertEqual(spread([3, None, 1, 2]), (2, 1, 3))
        self.assertIsNone(spread([None]))
        self.assertEqual(with_range([1.0, 3.0, 2.0]), "2.00 (1.00-3.00)")
        self.assertEqual(with_range([2.001, 2.002]), "2.00")
        self.assertEqual(with_range([]), "-")

    def test_numbers_have_three_digits(self):
        told = [number(value) for value in (1_248_193, 1000, 999.6, 45.678, 4.5678, 0.0045678, 0, None, -1234)]
        self.assertEqual(told, ["1,250,000", "1,000", "1000", "45.7", "4.57", "0.00457", "0", "-", "-1,230"])

    def test_ratios_of_nothing_are_none(self):
        self.assertEqual(ratio(1, 4), 0.25)
        self.assertIsNone(ratio(None, 4))
        self.assertIsNone(ratio(1, 0))
        self.assertIsNone(ratio(1, None))


class Table(unittest.TestCase):
    ROWS = [Row("rate", "samples/s"), Row("what", "a 2xx promises", False), Row("none", "never there")]
    RUNS = {
        ("emberkeep", 1): [{"rate": 10, "what": "synced", "probe_rate": 8}, {"rate": 30, "what": "synced"}, {"rate": 20}],
        ("victoria-metrics", 1): [{"rate": 4, "what": "nothing"}],
        ("prometheus", 2): [{"rate": 5}],
    }

    def test_ratios_stand_beside_the_peer_of_the_same_protocol(self):
        lines = markdown(self.ROWS, self.RUNS).splitlines()
        self.assertEqual(lines[0], "| | Emberkeep, 1.0 | VictoriaMetrics 1.150, 1.0 | Prometheus 3.14, 2.0 |")
        self.assertEqual(lines[2], "| samples/s | 20.0 (10.0-30.0) | 4.00 [5.00] | 5.00 |")
        self.assertEqual(lines[3], "| a 2xx promises | synced | nothing | - |")
        self.assertEqual(lines[4], "")
        self.assertTrue(lines[5].startswith("Runs of each: 1-3."))

    def test_goals_are_judged_by_medians(self):
        goals = [
            Goal("rate", "victoria-metrics", 1, 5, at_least=True),
            Goal("rate", "victoria-metrics", 1, 4.9),
            Goal("rate", "prometheus", 2, 1),
            Goal("rate", "probe", 1, 2),
        ]
        text = goals_text(goals, self.ROWS, self.RUNS).splitlines()
        self.assertEqual(len(text), 3)
        self.assertTrue(text[0].endswith("goal >= 5: met"), text[0])
        self.assertTrue(text[1].endswith("goal <= 4.9: **not met**"), text[1])
        self.assertEqual(text[2], "- samples/s, 1.0: 2.50 x that of the probe shaped like our log, goal <= 2: **not met**")


if __name__ == "__main__":
    unittest.main()
