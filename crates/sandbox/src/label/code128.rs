//! Code 128 as bars: where each begins and how wide it is, in modules, quiet zones included.

use barcoders::sym::code128::Code128 as Symbol;

/// One dark bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    pub left: f32,
    pub width: f32,
}

/// A symbol with its quiet zones of ten modules on either side.
#[derive(Debug, Clone, PartialEq)]
pub struct Code128 {
    bars: Vec<Bar>,
    width: f32,
}

/// Only printable ASCII is put into bars here.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not 1 to 40 printable ASCII characters")]
pub struct CodeError(String);

const QUIET_ZONE: u16 = 10;

impl Code128 {
    /// Pairs of digits go into set C, half as wide; everything else into set B.
    ///
    /// # Errors
    /// When the text cannot be printed as a bar code.
    pub fn new(text: &str) -> Result<Self, CodeError> {
        let failed = || CodeError(text.to_owned());
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if text.is_empty() || text.len() > 40 || !printable {
            return Err(failed());
        }
        let pairs = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_digit());
        let set = if pairs { '\u{0106}' } else { '\u{0181}' };
        let symbol = Symbol::new(format!("{set}{text}")).map_err(|_| failed())?;
        Ok(Self::from_modules(&symbol.encode()))
    }

    fn from_modules(modules: &[u8]) -> Self {
        let mut bars = Vec::new();
        let mut at = QUIET_ZONE;
        for run in modules.chunk_by(|a, b| a == b) {
            let width = u16::try_from(run.len()).unwrap_or(u16::MAX);
            if run.first() == Some(&1) {
                bars.push(Bar { left: f32::from(at), width: f32::from(width) });
            }
            at = at.saturating_add(width);
        }
        Self { bars, width: f32::from(at.saturating_add(QUIET_ZONE)) }
    }

    #[must_use]
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Of the whole symbol, quiet zones included.
    #[must_use]
    pub fn width(&self) -> f32 {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use super::Code128;

    /// Bar and space widths of the values 0 to 106, from the standard.
    const PATTERNS: [&str; 107] = [
        "212222", "222122", "222221", "121223", "121322", "131222", "122213", "122312", "132212",
        "221213", "221312", "231212", "112232", "122132", "122231", "113222", "123122", "123221",
        "223211", "221132", "221231", "213212", "223112", "312131", "311222", "321122", "321221",
        "312212", "322112", "322211", "212123", "212321", "232121", "111323", "131123", "131321",
        "112313", "132113", "132311", "211313", "231113", "231311", "112133", "112331", "132131",
        "113123", "113321", "133121", "313121", "211331", "231131", "213113", "213311", "213131",
        "311123", "311321", "331121", "312113", "312311", "332111", "314111", "221411", "431111",
        "111224", "111422", "121124", "121421", "141122", "141221", "112214", "112412", "122114",
        "122411", "142112", "142211", "241211", "221114", "413111", "241112", "134111", "111242",
        "121142", "121241", "114212", "124112", "124211", "411212", "421112", "421211", "212141",
        "214121", "412121", "111143", "111341", "131141", "114113", "114311", "411113", "411311",
        "113141", "114131", "311141", "411131", "211412", "211214", "211232", "233111",
    ];
    const START_B: usize = 104;
    const START_C: usize = 105;

    /// Reads the symbol back from bars and spaces alone, as a scanner does.
    fn scanned(code: &Code128) -> String {
        let mut widths = Vec::new();
        let mut end = None;
        for bar in code.bars() {
            if let Some(end) = end {
                widths.push(bar.left - end);
            }
            widths.push(bar.width);
            end = Some(bar.left + bar.width);
        }
        assert!(code.bars()[0].left >= 10.0, "the quiet zone is too small");
        assert!(code.width() - end.unwrap() >= 10.0, "the quiet zone is too small");
        // The stop pattern ends with one more bar than the others.
        assert_eq!(widths.pop(), Some(2.0));
        let values: Vec<usize> = widths
            .chunks(6)
            .map(|widths| widths.iter().map(|width| format!("{width}")).collect::<String>())
            .map(|pattern| PATTERNS.iter().position(|known| *known == pattern).unwrap())
            .collect();
        let (&stop, values) = values.split_last().unwrap();
        assert_eq!(stop, 106);
        let (&checksum, values) = values.split_last().unwrap();
        let weighted = values.iter().enumerate().map(|(at, value)| at.max(1) * value);
        assert_eq!(checksum, weighted.sum::<usize>() % 103, "the checksum is wrong");
        let (&start, values) = values.split_first().unwrap();
        match start {
            START_B => {
                values.iter().map(|&value| char::from(u8::try_from(value).unwrap() + 32)).collect()
            }
            START_C => values.iter().map(|value| format!("{value:02}")).collect(),
            other => panic!("{other} starts no symbol of ours"),
        }
    }

    #[test]
    fn every_kind_of_number_reads_back_with_a_right_checksum() {
        for text in ["5108002196", "51080021961", "ORD-1001", "A", "1Z 999 AA1 ~"] {
            assert_eq!(scanned(&Code128::new(text).unwrap()), text);
        }
    }

    #[test]
    fn pairs_of_digits_take_half_the_width() {
        let pairs = Code128::new("5108002196").unwrap().width();
        assert!(pairs < Code128::new("A10800219B").unwrap().width() - 40.0);
    }

    #[test]
    fn what_cannot_be_printed_as_bars_is_refused() {
        for text in ["", "عربي", "a\n", &"9".repeat(41)] {
            assert!(Code128::new(text).is_err(), "{text:?}");
        }
    }
}
