//! Text in any mix of Arabic and Latin: ordered by the bidi algorithm, shaped, measured, wrapped.
//! *Invariant:* numbers and Latin words keep their order inside Arabic text, and the other way
//! round; the house number of `12 شارع النيل` is 12.

use std::sync::LazyLock;

use krilla::color::rgb;
use krilla::geom::Point;
use krilla::paint::Fill;
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::{Direction, Face, UnicodeBuffer};
use unicode_bidi::{BidiInfo, Level};

use super::LabelError;

static DEJAVU_SANS: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// Line height in sizes.
const LEADING: f32 = 1.3;

/// Where a line stands: its left edge, its base line, and how wide it may be.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub x: f32,
    pub y: f32,
    pub width: f32,
}

/// How a line stands in its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Left for Latin, right for Arabic.
    Start,
    Middle,
}

/// A font that draws both scripts.
#[derive(Debug)]
pub struct Typeface {
    font: Font,
    face: FaceOf,
}

struct FaceOf(Face<'static>);

impl std::fmt::Debug for FaceOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Face")
    }
}

/// A piece of a line that runs in one direction, in the order in which it is seen.
struct Run<'a> {
    text: &'a str,
    glyphs: Vec<KrillaGlyph>,
    /// In sizes.
    width: f32,
}

impl Typeface {
    /// DejaVu Sans, which ships with the program; read once.
    ///
    /// # Errors
    /// When the font cannot be read, which no run of ours should see.
    pub fn bundled() -> Result<&'static Self, LabelError> {
        static BUNDLED: LazyLock<Option<Typeface>> = LazyLock::new(|| {
            let font = Font::new(DEJAVU_SANS.into(), 0)?;
            let face = Face::from_slice(DEJAVU_SANS, 0)?;
            Some(Typeface { font, face: FaceOf(face) })
        });
        BUNDLED.as_ref().ok_or(LabelError::Font)
    }

    /// How wide a text is in one line.
    #[must_use]
    pub fn width(&self, text: &str, size: f32) -> f32 {
        let text = printable(text);
        self.runs(&text, base_level(&text)).iter().map(|run| run.width * size).sum()
    }

    /// Draws one line, whatever its length.
    pub fn draw(
        &self,
        surface: &mut Surface<'_>,
        text: &str,
        place: Place,
        size: f32,
        align: Align,
    ) {
        let text = printable(text);
        self.draw_line(surface, &text, place, size, align, base_level(&text));
    }

    /// Draws a text in as many lines as it takes, at most `lines_max`, and says where the next base
    /// line is. What does not fit ends in an ellipsis.
    pub fn block(
        &self,
        surface: &mut Surface<'_>,
        text: &str,
        place: Place,
        size: f32,
        lines_max: usize,
    ) -> f32 {
        let text = printable(text);
        let base = base_level(&text);
        let mut y = place.y;
        let lines = self.wrapped(&text, place.width, size);
        let cut = lines.len() > lines_max;
        for (at, line) in lines.into_iter().take(lines_max).enumerate() {
            let line = if cut && at + 1 == lines_max { format!("{line}…") } else { line };
            self.draw_line(surface, &line, Place { y, ..place }, size, Align::Start, base);
            y += size * LEADING;
        }
        y
    }

    /// How much room [`Self::block`] needs when no line is cut.
    #[must_use]
    pub fn block_height(&self, text: &str, width: f32, size: f32) -> f32 {
        let lines = self.wrapped(&printable(text), width, size).len();
        f32::from(u16::try_from(lines).unwrap_or(u16::MAX)) * size * LEADING
    }

    fn draw_line(
        &self,
        surface: &mut Surface<'_>,
        text: &str,
        place: Place,
        size: f32,
        align: Align,
        base: Level,
    ) {
        let runs = self.runs(text, base);
        let width: f32 = runs.iter().map(|run| run.width * size).sum();
        let spare = place.width - width;
        let mut x = match align {
            Align::Middle => place.x + spare / 2.0,
            Align::Start if base.is_rtl() => place.x + spare,
            Align::Start => place.x,
        };
        surface.set_fill(Some(Fill { paint: rgb::Color::black().into(), ..Fill::default() }));
        for run in &runs {
            let start = Point::from_xy(x, place.y);
            surface.draw_glyphs(start, &run.glyphs, self.font.clone(), run.text, size, false);
            x += run.width * size;
        }
    }

    /// The runs of a line from left to right as they are seen.
    fn runs<'a>(&self, text: &'a str, base: Level) -> Vec<Run<'a>> {
        visual_runs(text, base)
            .into_iter()
            .filter_map(|(range, rtl)| Some(self.shape(text.get(range)?, rtl)))
            .collect()
    }

    fn shape<'a>(&self, text: &'a str, rtl: bool) -> Run<'a> {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        let direction = if rtl { Direction::RightToLeft } else { Direction::LeftToRight };
        buffer.set_direction(direction);
        let shaped = rustybuzz::shape(&self.face.0, &[], buffer);
        let clusters: Vec<usize> = shaped
            .glyph_infos()
            .iter()
            .map(|info| usize::try_from(info.cluster).unwrap_or(0))
            .collect();
        let em = self.font.units_per_em();
        let units = |value: i32| f32::from(i16::try_from(value).unwrap_or(0)) / em;
        let mut glyphs = Vec::with_capacity(clusters.len());
        let mut width = 0.0;
        let placed = shaped.glyph_infos().iter().zip(shaped.glyph_positions()).zip(&clusters);
        for ((info, position), &start) in placed {
            let end = clusters.iter().copied().filter(|&other| other > start).min();
            width += units(position.x_advance);
            glyphs.push(KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                units(position.x_advance),
                units(position.x_offset),
                units(position.y_offset),
                units(position.y_advance),
                start..end.unwrap_or(text.len()),
                None,
            ));
        }
        Run { text, glyphs, width }
    }

    /// Broken at spaces; a word longer than a line is broken anywhere.
    fn wrapped(&self, text: &str, width: f32, size: f32) -> Vec<String> {
        let space = self.width(" ", size);
        let mut lines = Vec::new();
        let mut line = String::new();
        let mut filled = 0.0;
        for word in text.split_whitespace() {
            for (piece, piece_width) in self.pieces(word, width, size) {
                if line.is_empty() {
                    filled = piece_width;
                } else if filled + space + piece_width <= width {
                    line.push(' ');
                    filled += space + piece_width;
                } else {
                    lines.push(std::mem::take(&mut line));
                    filled = piece_width;
                }
                line.push_str(&piece);
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }

    /// The word, or what of it fits a line each. Letters are measured alone, which is never
    /// narrower than joined.
    fn pieces(&self, word: &str, width: f32, size: f32) -> Vec<(String, f32)> {
        let whole = self.width(word, size);
        if whole <= width {
            return vec![(word.to_owned(), whole)];
        }
        let mut pieces: Vec<(String, f32)> = Vec::new();
        for letter in word.chars() {
            let letter_width = self.width(letter.encode_utf8(&mut [0; 4]), size);
            match pieces.last_mut() {
                Some((piece, filled)) if *filled + letter_width <= width => {
                    piece.push(letter);
                    *filled += letter_width;
                }
                _ => pieces.push((letter.into(), letter_width)),
            }
        }
        pieces
    }
}

/// The base direction of a text is that of its first strong letter.
fn base_level(text: &str) -> Level {
    let info = BidiInfo::new(text, None);
    info.paragraphs.first().map_or_else(Level::ltr, |paragraph| paragraph.level)
}

/// Byte ranges and whether each runs right to left, from left to right as they are seen.
fn visual_runs(text: &str, base: Level) -> Vec<(std::ops::Range<usize>, bool)> {
    let info = BidiInfo::new(text, Some(base));
    let Some(paragraph) = info.paragraphs.first() else { return Vec::new() };
    let (levels, runs) = info.visual_runs(paragraph, paragraph.range.clone());
    runs.into_iter()
        .map(|range| {
            let rtl = levels.get(range.start).is_some_and(Level::is_rtl);
            (range, rtl)
        })
        .collect()
}

/// One line: line breaks and control characters become spaces. Marks that steer direction are
/// dropped: in an address they could only make it read wrongly.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|letter| !STEERING.iter().any(|marks| marks.contains(letter)))
        .map(|letter| if is_break(letter) { ' ' } else { letter })
        .collect()
}

const STEERING: [std::ops::RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

fn is_break(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::{Typeface, base_level, printable, visual_runs};

    /// The words as the eye meets them from left to right, each in reading order.
    fn seen(text: &str) -> Vec<&str> {
        let runs = visual_runs(text, base_level(text));
        runs.into_iter()
            .flat_map(|(range, rtl)| {
                let run = text.get(range).unwrap();
                let mut words: Vec<_> = run.split_whitespace().collect();
                if rtl {
                    words.reverse();
                }
                words
            })
            .collect()
    }

    #[test]
    fn a_house_number_before_an_arabic_street_stays_itself_and_stands_rightmost() {
        assert_eq!(seen("12 شارع النيل"), ["النيل", "شارع", "12"]);
        assert!(base_level("12 شارع النيل").is_rtl());
    }

    #[test]
    fn latin_words_inside_arabic_keep_their_order_and_the_other_way_round() {
        assert_eq!(
            seen("برج Nile City Tower الدور 5"),
            ["5", "الدور", "Nile", "City", "Tower", "برج"]
        );
        assert_eq!(seen("12 Tahrir street, الدقي"), ["12", "Tahrir", "street,", "الدقي"]);
        assert_eq!(seen("Cairo"), ["Cairo"]);
    }

    #[test]
    fn arabic_letters_join_and_glyphs_come_right_to_left() {
        let typeface = Typeface::bundled().unwrap();
        let run = typeface.shape("شارع", true);
        let clusters: Vec<_> = run.glyphs.iter().map(|glyph| glyph.text_range.start).collect();
        assert!(clusters.is_sorted_by(|a, b| a > b), "{clusters:?}");
        assert!(run.glyphs.iter().all(|glyph| glyph.glyph_id.to_u32() != 0), "a letter is missing");
        let alone = typeface.shape("ش", true).glyphs[0].glyph_id;
        assert_ne!(run.glyphs.last().unwrap().glyph_id, alone, "the first letter does not join");
    }

    #[test]
    fn wrapped_lines_fit_and_lose_no_word() {
        let typeface = Typeface::bundled().unwrap();
        let text = "15 شارع عبد الخالق ثروت متفرع من شارع طلعت حرب بجوار بنك مصر الرئيسي Downtown";
        let lines = typeface.wrapped(text, 150.0, 12.0);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| typeface.width(line, 12.0) <= 150.0));
        assert_eq!(lines.join(" "), text);
        let word = "X".repeat(80);
        let lines = typeface.wrapped(&word, 150.0, 12.0);
        assert!(lines.iter().all(|line| typeface.width(line, 12.0) <= 150.0));
        assert_eq!(lines.concat(), word);
    }

    #[test]
    fn hidden_direction_marks_cannot_turn_a_number_around() {
        assert_eq!(printable("\u{202e}12\nstreet"), "12 street");
    }
}
