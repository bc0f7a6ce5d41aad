//! Search terms: what is searched for and what is found are folded the same way, then compared as
//! ranges of text.

use crate::phone;

/// Longest term in characters.
const LONGEST: usize = 96;
/// Fewer last digits than this find too many phones.
const FEWEST_DIGITS: usize = 4;

/// Lower case, Arabic letters in their plain form, Western digits, single spaces.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.trim().chars().flat_map(char::to_lowercase) {
        match letter {
            // Harakat, superscript alef and tatweel say nothing about the word.
            '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{0640}' => {}
            'أ' | 'إ' | 'آ' | 'ٱ' => folded.push('ا'),
            'ى' | 'ئ' => folded.push('ي'),
            'ؤ' => folded.push('و'),
            'ة' => folded.push('ه'),
            _ if letter.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            _ => folded.push(phone::western_digit(letter).unwrap_or(letter)),
        }
    }
    folded.trim_end().chars().take(LONGEST).collect()
}

/// The term of a whole text: found by its beginning.
pub(crate) fn text(text: &str) -> Option<String> {
    let folded = fold(text);
    (!folded.is_empty()).then(|| format!("t:{folded}"))
}

/// The terms of a name: found by the beginning of any of its words.
pub(crate) fn name(name: &str) -> Vec<String> {
    let folded = fold(name);
    let starts = folded.char_indices().filter(|(at, _)| {
        *at == 0 || folded.get(..*at).is_some_and(|before| before.ends_with(' '))
    });
    starts.filter_map(|(at, _)| Some(format!("t:{}", folded.get(at..)?))).collect()
}

/// The term of a phone: its digits from the last to the first, so that last digits begin it.
pub(crate) fn phone_term(e164: &str) -> Option<String> {
    let digits: String = e164.chars().filter(char::is_ascii_digit).rev().collect();
    (!digits.is_empty()).then(|| format!("p:{digits}"))
}

/// The term of an order number's digits: found as a whole.
pub(crate) fn number(value: i64) -> String {
    format!("n:{value}")
}

/// The term of a warehouse that serves an order.
pub(crate) fn warehouse(code: &str) -> String {
    format!("w:{code}")
}

/// A half-open range of terms.
pub(crate) type Range = (String, String);

fn beginning_with(term: String) -> Range {
    let end = format!("{term}\u{10FFFF}");
    (term, end)
}

fn exactly(term: String) -> Range {
    let end = format!("{term}\u{1}");
    (term, end)
}

/// What `query` may mean.
pub(crate) fn ranges(query: &str, country: phone::Country) -> Vec<Range> {
    let folded = fold(query);
    let bare = folded.trim_start_matches('#').trim();
    if bare.is_empty() {
        return Vec::new();
    }
    let mut ranges = vec![beginning_with(format!("t:{bare}"))];
    if let Ok(value) = bare.parse::<i64>() {
        ranges.push(exactly(number(value)));
    }
    let digits: String = bare.chars().filter(char::is_ascii_digit).collect();
    let phone_like = bare.chars().all(|c| c.is_ascii_digit() || " +-().".contains(c));
    if phone_like && digits.len() >= FEWEST_DIGITS {
        let spelled = phone::parse(bare, country).ok().and_then(|e164| phone_term(&e164));
        ranges.extend(spelled.map(exactly));
        let last = digits.trim_start_matches('0');
        if last.len() >= FEWEST_DIGITS {
            ranges.extend(phone_term(last).map(beginning_with));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, terms: &[String]) -> bool {
        let ranges = ranges(query, phone::EGYPT);
        terms.iter().any(|term| ranges.iter().any(|(from, to)| term >= from && term < to))
    }

    #[test]
    fn a_name_is_found_by_any_word_in_any_case_and_arabic_spelling() {
        let terms = [name("Mona Ahmed Ali"), name("أحمد فؤادة")].concat();
        for query in ["mona", "AHMED a", "Ali", "احمد", "فواده", "أحمد فؤ"] {
            assert!(found(query, &terms), "{query}");
        }
        assert!(!found("hmed", &terms));
    }

    #[test]
    fn a_phone_is_found_in_any_spelling_and_by_its_last_digits() {
        let terms: Vec<_> = phone_term("+201001234567").into_iter().collect();
        for query in [
            "+20 100 123 4567",
            "01001234567",
            "٠١٠٠١٢٣٤٥٦٧",
            "4567",
            "1001234567",
            "0100-123-4567",
        ] {
            assert!(found(query, &terms), "{query}");
        }
        assert!(!found("567", &terms));
        assert!(!found("4568", &terms));
    }

    #[test]
    fn a_number_is_found_with_and_without_its_prefix() {
        let terms = [text("NX-1001").unwrap(), number(1001)];
        for query in ["1001", "#1001", "nx-1001", "#NX-1001"] {
            assert!(found(query, &terms), "{query}");
        }
        assert!(!found("100", &terms));
    }
}
