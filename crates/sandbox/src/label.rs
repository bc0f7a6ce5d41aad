//! The courier's label as a PDF: who gets the parcel, what is to be collected, and the tracking
//! number as a bar code that scanners read.
//! *Invariant:* every label that was asked for is in the PDF, in the order asked for.

mod code128;
pub mod text;

use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Rect, Transform};
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::surface::Surface;

pub use code128::{Bar, Code128, CodeError};
use text::{Align, Place, Typeface};

/// What stands on one label. Empty texts are left out.
#[derive(Debug, Clone, Default)]
pub struct Label {
    /// The courier's name.
    pub courier: String,
    /// ASCII; printed as Code 128 and as text.
    pub tracking: String,
    pub recipient: String,
    pub phone: String,
    /// From the street down to the city, Arabic or Latin.
    pub address: Vec<String>,
    /// What the courier collects, with its currency; `None` is a prepaid parcel.
    pub cod: Option<String>,
    /// The sender's own order number.
    pub reference: Option<String>,
    pub contents: String,
    pub notes: String,
}

/// A6 has one label a page; A4 has four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paper {
    A4,
    A6,
}

/// Why a label could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    #[error("the label's font cannot be read")]
    Font,
    #[error("the tracking number cannot be a bar code")]
    Code(#[from] CodeError),
    #[error("the label has an impossible size")]
    Geometry,
    #[error("the PDF cannot be written: {0}")]
    Pdf(String),
}

/// Points; A6 is 105 by 148 mm.
const WIDTH: f32 = 297.64;
const HEIGHT: f32 = 419.53;
const MARGIN: f32 = 14.0;
const INNER: f32 = WIDTH - 2.0 * MARGIN;
const ON_A4: [(f32, f32); 4] = [(0.0, 0.0), (WIDTH, 0.0), (0.0, HEIGHT), (WIDTH, HEIGHT)];
const BARS_HEIGHT: f32 = 64.0;
/// Wide enough for the coarsest of printers, 0.63 mm.
const MODULE_MAX: f32 = 1.8;

/// Draws the labels.
///
/// # Errors
/// When a tracking number cannot be a bar code, or the PDF cannot be made.
pub fn draw(labels: &[Label], paper: Paper) -> Result<Vec<u8>, LabelError> {
    let typeface = Typeface::bundled()?;
    let mut document = Document::new();
    let (width, height, places) = match paper {
        Paper::A6 => (WIDTH, HEIGHT, ON_A4.get(..1).unwrap_or_default()),
        Paper::A4 => (2.0 * WIDTH, 2.0 * HEIGHT, ON_A4.as_slice()),
    };
    for page_labels in labels.chunks(places.len().max(1)) {
        let settings = PageSettings::from_wh(width, height).ok_or(LabelError::Geometry)?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        for (label, &(x, y)) in page_labels.iter().zip(places) {
            surface.push_transform(&Transform::from_translate(x, y));
            let drawn = draw_one(&mut surface, typeface, label);
            // The surface panics when it is dropped with a transform left on it.
            surface.pop();
            drawn?;
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| LabelError::Pdf(format!("{error:?}")))
}

fn draw_one(
    surface: &mut Surface<'_>,
    typeface: &Typeface,
    label: &Label,
) -> Result<(), LabelError> {
    let at = |x, y, width| Place { x, y, width };
    let mut y = MARGIN + 14.0;
    typeface.draw(surface, &label.courier, at(MARGIN, y, INNER), 14.0, Align::Start);
    y += 12.0;
    draw_bars(surface, &Code128::new(&label.tracking)?, y)?;
    y += BARS_HEIGHT + 18.0;
    typeface.draw(surface, &label.tracking, at(MARGIN, y, INNER), 16.0, Align::Middle);
    y += 8.0;
    rule(surface, y)?;

    y += 18.0;
    y = typeface.block(surface, &label.recipient, at(MARGIN, y, INNER), 14.0, 2);
    typeface.draw(surface, &label.phone, at(MARGIN, y, INNER), 12.0, Align::Start);
    y += 16.0;
    y = draw_address(surface, typeface, &label.address, y);
    rule(surface, y)?;

    y += 24.0;
    let amount = match &label.cod {
        Some(amount) => format!("COD  {amount}"),
        None => "PREPAID".into(),
    };
    typeface.draw(surface, &amount, at(MARGIN, y, INNER), 20.0, Align::Middle);
    y += 10.0;
    rule(surface, y)?;
    y += 14.0;
    if let Some(reference) = &label.reference {
        let line = format!("Ref  {reference}");
        y = typeface.block(surface, &line, at(MARGIN, y, INNER), 10.0, 1);
    }
    for line in [&label.contents, &label.notes] {
        if !line.trim().is_empty() && y < HEIGHT - MARGIN {
            y = typeface.block(surface, line, at(MARGIN, y, INNER), 8.0, 2);
        }
    }
    Ok(())
}

/// The largest type in which the whole address fits between the phone and the money.
fn draw_address(surface: &mut Surface<'_>, typeface: &Typeface, lines: &[String], y: f32) -> f32 {
    const BOTTOM: f32 = HEIGHT - 122.0;
    const SIZES: [f32; 5] = [12.0, 10.5, 9.0, 7.5, 6.0];
    let room = BOTTOM - y;
    let height =
        |size: f32| lines.iter().map(|line| typeface.block_height(line, INNER, size)).sum::<f32>();
    let size = SIZES.into_iter().find(|&size| height(size) <= room).unwrap_or(6.0);
    let mut next = y;
    for line in lines {
        if next > BOTTOM {
            break;
        }
        let place = Place { x: MARGIN, y: next, width: INNER };
        next = typeface.block(surface, line, place, size, usize::MAX);
    }
    BOTTOM
}

fn draw_bars(surface: &mut Surface<'_>, code: &Code128, y: f32) -> Result<(), LabelError> {
    let width = code.width();
    let module = (INNER / width).min(MODULE_MAX);
    let left = MARGIN + (INNER - width * module) / 2.0;
    let mut path = PathBuilder::new();
    for bar in code.bars() {
        let (x, width) = (left + bar.left * module, bar.width * module);
        path.push_rect(Rect::from_xywh(x, y, width, BARS_HEIGHT).ok_or(LabelError::Geometry)?);
    }
    fill(surface, path)
}

fn rule(surface: &mut Surface<'_>, y: f32) -> Result<(), LabelError> {
    let mut path = PathBuilder::new();
    path.push_rect(Rect::from_xywh(MARGIN, y, INNER, 0.8).ok_or(LabelError::Geometry)?);
    fill(surface, path)
}

fn fill(surface: &mut Surface<'_>, path: PathBuilder) -> Result<(), LabelError> {
    surface.set_fill(Some(Fill { paint: rgb::Color::black().into(), ..Fill::default() }));
    surface.draw_path(&path.finish().ok_or(LabelError::Geometry)?);
    Ok(())
}

#[cfg(test)]
mod fuzz;
