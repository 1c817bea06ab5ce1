//! The plot: a bar for each contender in each case, as long as its time is in ferry's, on a logarithmic scale from 1 (as fast as
//! ferry) on. A dark line marks what is owed, a dotted one what is aimed at, a thin one the spread. Words keep to columns and
//! lines of their own, so that none overlap whatever the figures are.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::bars::{self, Verdict};
use crate::contender::Side;
use crate::figures::Spread;
use crate::report::{CaseReport, Report, Standing};

const WIDTH: i32 = 1120;
/// Where bars begin and end.
const LEFT: i32 = 250;
const RIGHT: i32 = 900;
const HEAD: i32 = 104;
const TITLE: i32 = 24;
const ROW: i32 = 22;
const GAP: i32 = 20;
const FOOT: i32 = 60;

const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(225, 228, 232);
const AIM_MET: RGBColor = RGBColor(38, 110, 178);
const MUST_MET: RGBColor = RGBColor(125, 178, 222);
const MISSED: RGBColor = RGBColor(224, 138, 60);
const NO_TARGET: RGBColor = RGBColor(175, 182, 190);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The report as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub fn svg(report: &Report) -> Result<String> {
    let cases: Vec<(&CaseReport, Vec<Bar<'_>>)> = report
        .cases
        .iter()
        .map(|case| (case, case.standings.iter().filter_map(Bar::of).collect::<Vec<_>>()))
        .filter(|(_, bars)| !bars.is_empty())
        .collect();
    let rows: usize = cases.iter().map(|(_, bars)| bars.len()).sum();
    let below = cases.len() as i32 * (TITLE + GAP) + rows as i32 * ROW;
    let scale = Scale::over(cases.iter().flat_map(|(_, bars)| bars));
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH as u32, (HEAD + below + FOOT) as u32)).into_drawing_area();
        let mut pen = Pen { area: &area, scale, failed: None };
        pen.clear();
        pen.head(report);
        pen.axis(HEAD, HEAD + below);
        let mut y = HEAD;
        for (case, bars) in &cases {
            y = pen.case(case, bars, y) + GAP;
        }
        pen.finish()?;
        area.present().map_err(|error| anyhow!("cannot draw the plot: {error}"))?;
    }
    Ok(text)
}

/// What is drawn of a standing.
struct Bar<'a> {
    standing: &'a Standing,
    ratio: Spread,
}

impl<'a> Bar<'a> {
    fn of(standing: &'a Standing) -> Option<Self> {
        Some(Self { standing, ratio: standing.ratio? })
    }

    fn label(&self) -> String {
        match self.standing.side {
            Side::Theirs => self.standing.name.to_owned(),
            Side::Ours => format!("rsync / {}", self.standing.name),
        }
    }

    fn color(&self) -> RGBColor {
        match self.standing.targets.map(|targets| bars::time(self.ratio.median, targets)) {
            Some(Verdict::AimMet) => AIM_MET,
            Some(Verdict::MustMet) => MUST_MET,
            Some(Verdict::Missed) => MISSED,
            None => NO_TARGET,
        }
    }

    /// Everything that has to be on the scale.
    fn marks(&self) -> Vec<f64> {
        let targets = self.standing.targets.into_iter().flat_map(|targets| [Some(targets.must), targets.aim]);
        targets.flatten().chain([self.ratio.min, self.ratio.max]).collect()
    }
}

/// A logarithmic scale; 1 is always on it.
#[derive(Clone, Copy, Debug)]
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn over<'a>(bars: impl Iterator<Item = &'a Bar<'a>>) -> Self {
        let start = Self { least: 0.8, most: 2.5 };
        let marks = bars.flat_map(Bar::marks).filter(|mark| mark.is_finite() && *mark > 0.0);
        marks.fold(start, |scale, mark| Self { least: scale.least.min(mark * 0.9), most: scale.most.max(mark * 1.1) })
    }

    fn x(self, ratio: f64) -> i32 {
        let share = (ratio / self.least).ln() / (self.most / self.least).ln();
        LEFT + (f64::from(RIGHT - LEFT) * share.clamp(0.0, 1.0)).round() as i32
    }

    /// 1, 2 and 5 of every power of ten that is on it.
    fn ticks(self) -> Vec<f64> {
        let powers = -3..=4;
        let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
        all.filter(|tick| (self.least..=self.most).contains(tick)).collect()
    }
}

/// Draws, and remembers the first failure.
struct Pen<'a, 'b> {
    area: &'a Area<'b>,
    scale: Scale,
    failed: Option<String>,
}

impl Pen<'_, '_> {
    fn clear(&mut self) {
        let done = self.area.fill(&WHITE);
        self.note(done);
    }

    fn head(&mut self, report: &Report) {
        let machine = &report.machine;
        self.text("How long others take: their time / ferry's", (16, 22), Hold::Left, 19, INK);
        let what = format!(
            "{}, {} x {}, Linux {}, data on {}; scale {}, medians of {} pairs; thin lines: smallest and largest pair",
            machine.date, machine.processors, machine.model, machine.kernel, report.medium, report.scale, report.runs
        );
        self.text(&what, (16, 46), Hold::Left, 13, FAINT);
        let legend = [(AIM_MET, "aim met"), (MUST_MET, "must met"), (MISSED, "missed"), (NO_TARGET, "no target")];
        for (place, (color, words)) in legend.into_iter().enumerate() {
            let x = 16 + place as i32 * 110;
            self.rectangle((x, 64), (x + 14, 76), color);
            self.text(words, (x + 20, 70), Hold::Left, 13, INK);
        }
        self.line((466, 62), (466, 78), INK, 2);
        self.text("must", (474, 70), Hold::Left, 13, INK);
        self.dots(546, 62, 78);
        self.text("aim", (554, 70), Hold::Left, 13, INK);
        self.text("ratio (spread)", (RIGHT + 16, 92), Hold::Left, 12, FAINT);
        self.text("must / aim", (WIDTH - 16, 92), Hold::Right, 12, FAINT);
    }

    fn axis(&mut self, top: i32, bottom: i32) {
        for tick in self.scale.ticks() {
            let (x, color) = (self.scale.x(tick), if tick == 1.0 { FAINT } else { GRID });
            self.line((x, top), (x, bottom), color, 1);
            self.text(&format!("{tick}"), (x, bottom + 14), Hold::Middle, 12, FAINT);
        }
        let words = "left of 1: faster than ferry; right: slower (logarithmic)";
        self.text(words, (self.scale.x(1.0).max(LEFT + 170), bottom + 36), Hold::Middle, 12, FAINT);
    }

    /// A case from `top` on; where it ends.
    fn case(&mut self, case: &CaseReport, bars: &[Bar<'_>], top: i32) -> i32 {
        // White beneath, or the grid would run through the words.
        self.rectangle((0, top), (WIDTH, top + TITLE - 2), WHITE);
        self.text(case.name, (16, top + TITLE / 2), Hold::Left, 15, INK);
        self.text(&short(case.what), (130, top + TITLE / 2), Hold::Left, 13, FAINT);
        let mut y = top + TITLE;
        for bar in bars {
            self.bar(bar, y);
            y += ROW;
        }
        y
    }

    fn bar(&mut self, bar: &Bar<'_>, top: i32) {
        let (middle, scale, ratio) = (top + ROW / 2, self.scale, bar.ratio);
        let (one, end) = (scale.x(1.0), scale.x(ratio.median));
        self.text(&bar.label(), (LEFT - 12, middle), Hold::Right, 13, INK);
        self.rectangle((one.min(end), top + 4), (one.max(end), top + ROW - 4), bar.color());
        self.line((scale.x(ratio.min), middle), (scale.x(ratio.max), middle), INK, 1);
        for edge in [ratio.min, ratio.max] {
            self.line((scale.x(edge), middle - 3), (scale.x(edge), middle + 3), INK, 1);
        }
        if let Some(targets) = bar.standing.targets {
            let must = scale.x(targets.must);
            self.line((must, top + 1), (must, top + ROW - 1), INK, 2);
            if let Some(aim) = targets.aim {
                self.dots(scale.x(aim), top + 1, top + ROW - 1);
            }
        }
        let words = format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.min, ratio.max);
        self.text(&words, (RIGHT + 16, middle), Hold::Left, 13, INK);
        if let Some(targets) = bar.standing.targets {
            let aim = targets.aim.map_or_else(String::new, |aim| format!(" / {aim}"));
            self.text(&format!("{}{aim}", targets.must), (WIDTH - 16, middle), Hold::Right, 13, FAINT);
        }
    }

    fn rectangle(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor) {
        let done = self.area.draw(&Rectangle::new([from, to], color.filled()));
        self.note(done);
    }

    fn line(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor, width: u32) {
        let done = self.area.draw(&PathElement::new(vec![from, to], color.stroke_width(width)));
        self.note(done);
    }

    /// A dotted line from top to bottom.
    fn dots(&mut self, x: i32, top: i32, bottom: i32) {
        for y in (top..bottom).step_by(5) {
            self.line((x, y), (x, (y + 2).min(bottom)), INK, 2);
        }
    }

    fn text(&mut self, words: &str, at: (i32, i32), hold: Hold, size: i32, color: RGBColor) {
        let pos = Pos::new(hold.position(), VPos::Center);
        let style = TextStyle::from(("sans-serif", size)).color(&color).pos(pos);
        let done = self.area.draw(&Text::new(words.to_owned(), at, style));
        self.note(done);
    }

    fn note<E: std::fmt::Display>(&mut self, done: std::result::Result<(), E>) {
        if let Err(error) = done {
            self.failed.get_or_insert_with(|| error.to_string());
        }
    }

    fn finish(self) -> Result<()> {
        self.failed.map_or(Ok(()), |error| Err(anyhow!("cannot draw the plot: {error}")))
    }
}

/// Where words are held.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Left,
    Middle,
    Right,
}

impl Hold {
    fn position(self) -> HPos {
        match self {
            Self::Left => HPos::Left,
            Self::Middle => HPos::Center,
            Self::Right => HPos::Right,
        }
    }
}

/// What a case is, as long as its line has room for.
fn short(what: &str) -> String {
    const MOST: usize = 130;
    match what.char_indices().nth(MOST) {
        None => what.to_owned(),
        Some((end, _)) => format!("{}...", what.get(..end).unwrap_or(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn every_ratio_has_a_bar_and_its_words() {
        let text = svg(&sample::report()).unwrap();
        for word in ["pages", "rsync+stunnel", "2.75 (2.50-3.00)", "must", "2.5 / 3.5"] {
            assert!(text.contains(word), "no {word}");
        }
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_report_without_a_ratio_is_a_plot_without_bars() {
        let mut report = sample::report();
        report.cases.clear();
        assert!(svg(&report).unwrap().contains("<svg"));
    }

    #[test]
    fn the_scale_holds_one_and_every_mark() {
        let scale = Scale { least: 0.5, most: 50.0 };
        assert_eq!((scale.x(0.5), scale.x(50.0), scale.x(1000.0)), (LEFT, RIGHT, RIGHT));
        assert_eq!(scale.ticks(), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
    }
}
