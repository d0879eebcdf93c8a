//! Finding people by name in any script: exact words, beginnings, and a skeleton of consonants that spellings
//! and scripts have in common. A skeleton finds candidates; it never says that two people are one.

use unicode_normalization::UnicodeNormalization as _;

/// The words of a name in one normal form: compatibility form, lower case, without marks in scripts
/// where marks are not vowels that words live by.
pub fn words(text: &str) -> Vec<String> {
    text.nfkd()
        .filter(|c| !is_droppable_mark(*c))
        .nfkc()
        .flat_map(char::to_lowercase)
        .map(fold_arabic)
        .collect::<String>()
        .split(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The consonants of a word as a Latin ear hears them: `Mohammed`, `Muhamad` and `محمد` share theirs.
pub fn skeleton(word: &str) -> String {
    let latin = any_ascii::any_ascii(word).to_lowercase();
    let mut out = String::new();
    let mut letters = latin.chars().filter(char::is_ascii_alphanumeric).peekable();
    let mut first = true;
    while let Some(letter) = letters.next() {
        let digraph = letters.peek() == Some(&'h') && matches!(letter, 'k' | 'g' | 'p' | 't' | 'd' | 's' | 'c');
        if digraph {
            letters.next();
        }
        let heard = match letter {
            'p' if digraph => Some('f'),
            'a' | 'e' | 'i' | 'o' | 'u' | 'y' => first.then_some('a'),
            'h' | 'w' => first.then_some(letter),
            'c' | 'q' => Some('k'),
            'z' => Some('s'),
            'p' => Some('b'),
            'v' => Some('w'),
            other => Some(other),
        };
        first = false;
        if let Some(heard) = heard.filter(|heard| !out.ends_with(*heard)) {
            out.push(heard);
        }
    }
    out
}

fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Marks of Latin, Greek, Cyrillic, Arabic and Hebrew carry accents; in other scripts they carry vowels.
fn is_droppable_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

fn fold_arabic(c: char) -> char {
    match c {
        'أ' | 'إ' | 'آ' | 'ٱ' => 'ا',
        'ى' => 'ي',
        'ة' => 'ه',
        other => other,
    }
}

/// The digits of a telephone number, whatever digits it was written in, without country prefix zeros.
pub fn digits(text: &str) -> String {
    let digits: String = any_ascii::any_ascii(text).chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').to_owned()
}

/// A text with every decimal digit of any script written in ASCII.
pub fn ascii_digits(text: &str) -> String {
    let ascii = |c: char| if c.is_numeric() && !c.is_ascii() { any_ascii::any_ascii_char(c) } else { "" };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match ascii(c) {
            "" => out.push(c),
            digit => out.push_str(digit),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_and_scripts_meet_in_one_skeleton() {
        for (one, other) in [
            ("Mohammed", "محمد"),
            ("Muhamad", "Mohammed"),
            ("Fatima", "Fatma"),
            ("Shevchenko", "Шевченко"),
            ("Khadija", "Kadidja"),
            ("Philip", "Filip"),
        ] {
            assert_eq!(skeleton(one), skeleton(&words(other)[0]), "{one} {other}");
        }
        assert_ne!(skeleton("Maria"), skeleton("Martha"));
    }

    #[test]
    fn words_keep_the_vowels_of_scripts_that_write_them_as_marks() {
        assert_eq!(words("José  Ñandú-Pérez"), ["jose", "nandu", "perez"]);
        assert_eq!(words("សុខ ចាន់"), ["សុខ", "ចាន់"]);
        assert_eq!(words("أحمد"), words("احمد"));
    }

    #[test]
    fn telephone_numbers_compare_by_digits() {
        assert_eq!(digits("+27 (0)82 555-01"), "2708255501");
        assert_eq!(digits("٠٨٢ ٥٥٥"), "82555");
        assert_eq!(ascii_digits("٢٠٢٦-११-2१"), "2026-11-21");
    }
}
