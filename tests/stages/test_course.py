"""The course of a training's losses."""

import json
from math import nan

from gcd_hpc.stages.course import MAX_REPORTS, Course


def test_a_course_is_continued_from_the_step_of_the_checkpoint(tmp_path):
    course = Course(0)
    course.add(10, 1.5, nan)
    course.add(20, 1.2, 1.3)
    course.add(30, 1.1, 1.3)
    file = tmp_path / "progress.json"
    file.write_text(json.dumps({"history": course.rows}))
    again = Course.of(file, 20)
    # Step 30 came after the checkpoint and is computed again.
    assert again.rows == [(10, 1.5, None), (20, 1.2, 1.3)] and again.first_step == 20
    file.write_text(json.dumps({"step": 20, "loss": 1.2}))
    assert Course.of(file, 20).rows == [] == Course.of(tmp_path / "none", 20).rows


def test_a_long_course_keeps_every_second_report_and_the_last():
    course = Course(0)
    for step in range(MAX_REPORTS + 1):
        course.add(step, 1.0, nan)
    steps = [row[0] for row in course.rows]
    assert steps == list(range(0, MAX_REPORTS + 1, 2))
    course.add(MAX_REPORTS, 0.5, nan)
    assert course.rows[-1] == (MAX_REPORTS, 0.5, None) and len(course.rows) == len(steps)
