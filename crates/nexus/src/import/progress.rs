//! How far an import is, and how fast it goes.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const AT_A_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// The progress of one kind of thing.
pub(crate) struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    began: Instant,
    shown: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { what, total, done: 0, began: now, shown: now, terminal }
    }

    /// One more is done.
    pub(crate) fn step(&mut self) {
        self.done += 1;
        let every = if self.terminal { AT_A_TERMINAL } else { ELSEWHERE };
        if self.shown.elapsed() >= every {
            self.shown = Instant::now();
            self.show();
        }
    }

    fn show(&self) {
        let line = line(self.what, self.done, self.total, self.began.elapsed());
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            drop(std::io::stderr().flush());
        } else {
            eprintln!("{line}");
        }
    }

    /// Says how it went.
    pub(crate) fn end(self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
        println!("{}", line(self.what, self.done, self.total, self.began.elapsed()));
    }
}

fn line(what: &str, done: usize, total: usize, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let rate = f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / seconds.max(0.001);
    format!("{what}: {done} of {total} in {seconds:.1} s ({rate:.0}/s)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        assert_eq!(
            line("orders", 300, 3_972, Duration::from_secs(2)),
            "orders: 300 of 3972 in 2.0 s (150/s)"
        );
    }
}
