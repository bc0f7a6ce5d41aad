//! Bosta's 28 cities, which it also calls governorates, and how an address finds its place in them.

use serde_json::Value;

use super::api::text_of;

/// A city with its id and the spellings that people use for it.
pub(super) struct City {
    pub(super) name: &'static str,
    pub(super) id: &'static str,
    spellings: &'static [&'static str],
}

const fn city(name: &'static str, id: &'static str, spellings: &'static [&'static str]) -> City {
    City { name, id, spellings }
}

static CITIES: [City; 28] = [
    city(
        "Cairo",
        "FceDyHXwpSYYF9zGW",
        &["القاهرة", "Al Qahirah", "Kahera", "Helwan", "حلوان", "New Cairo"],
    ),
    city("Alexandria", "Jrb6X6ucjiYgMP4T7", &["الإسكندرية", "Alex", "El Iskandariya"]),
    city("North Coast", "2hGtNLfRgqGrJjnW9", &["الساحل الشمالي", "Sahel", "الساحل"]),
    city(
        "Behira",
        "g3GchTSmCgR2JynsJ",
        &["البحيرة", "Beheira", "Al Buhayrah", "Behera", "El Beheira"],
    ),
    city(
        "Dakahlia",
        "RrDhS8YYsXAwZ9Zfo",
        &["الدقهلية", "Daqahliya", "Dakahleya", "Mansoura", "Ad Daqahliyah"],
    ),
    city(
        "El Kalioubia",
        "yp3atroeTwnyiBNKE",
        &[
            "القليوبية",
            "Qaliubiya",
            "Qalyubia",
            "Kalyoubia",
            "Qaliobia",
            "Al Qalyubiyah",
            "Qalyoubia",
        ],
    ),
    city("Gharbia", "K3RwC677J8kJytdZD", &["الغربية", "Gharbiya", "Al Gharbiyah", "Tanta"]),
    city(
        "Kafr Alsheikh",
        "ByP7rFCjL6XzF6j4S",
        &["كفر الشيخ", "Kafr Al sheikh", "Kafr El Sheikh", "Kafr El-Sheikh", "Kafr ash Shaykh"],
    ),
    city(
        "Monufia",
        "ruBSjGBDX9wpRa3cc",
        &["المنوفية", "Menofia", "Menoufia", "Monofia", "Al Minufiyah", "Menofya", "Minufiya"],
    ),
    city(
        "Sharqia",
        "6ExcoGbpYHnggP8JD",
        &["الشرقية", "Sharkia", "Ash Sharqiyah", "El Sharqia", "Zagazig"],
    ),
    city("Ismailia", "PJqNriLtFtx2cfkKP", &["الإسماعيلية", "الإسماعلية", "Al Ismailiyah"]),
    city("Suez", "PickurJ5uJZ9rDTHW", &["السويس", "As Suways"]),
    city("Port Said", "skFtf6ZmKo8kBEBDK", &["بورسعيد", "Bur Said", "بور سعيد", "PortSaid"]),
    city("Damietta", "qoZvYcZ8Cqji4pGp5", &["دمياط", "Dumyat", "Domiat"]),
    city("Fayoum", "BW5MiNxEirB7tuz2y", &["الفيوم", "Faiyum", "Al Fayyum", "El Fayoum"]),
    city("Bani Suif", "LzbbvTzZ7D2CgE2PL", &["بني سويف", "Beni Suef", "Bani Sweif", "Beni Sweif"]),
    city("Assuit", "7mDPAohM3ArSZmWTm", &["أسيوط", "Assiut", "Asyut"]),
    city("Sohag", "n3EENg2adhuR9xBZK", &["سوهاج", "Suhaj"]),
    city("Menya", "si6eLnKjXqTFTMBj9", &["المنيا", "Minya", "Al Minya", "Menia", "El Minya"]),
    city("Qena", "vfTHTes3uGjAszgtg", &["قنا", "Kena"]),
    city("Aswan", "kLvZ5JY6LJPL5chzN", &["أسوان", "اسوان", "Asswan"]),
    city("Luxor", "wgYEdH2WMzxGE2Ztp", &["الأقصر", "Al Uqsur", "الاقصر"]),
    city("Red Sea", "r5TscLCNSjR2GimxQ", &["البحر الأحمر", "Hurghada", "Al Bahr Al Ahmar"]),
    city(
        "New Valley",
        "w4yDVHVJWqa4HpbzA",
        &["الوادي الجديد", "Al Wadi Al Jadid", "El Wadi El Gedid"],
    ),
    city(
        "Giza",
        "0064Qb0OgcA",
        &["الجيزة", "Gizeh", "Al Jizah", "6th of October", "Sixth of October", "السادس من أكتوبر"],
    ),
    city("South Sinai", "nG_c44vHQht", &["جنوب سيناء", "Janub Sina", "Sharm El Sheikh"]),
    city("North Sinai", "ZuCaDAVQlPT", &["شمال سيناء", "Shamal Sina", "El Arish"]),
    city("Matrouh", "KBpGiRZJMIx", &["مطروح", "Marsa Matrouh", "Matruh", "مرسى مطروح"]),
];

/// A district, called area on Bosta's own pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct District {
    pub(super) id: String,
    name: String,
    other_name: String,
    /// A parcel to a district without it is taken, charged, and comes back.
    pub(super) drop_off: bool,
}

/// Where a parcel goes.
pub(super) struct Place {
    pub(super) city: &'static City,
    /// Unknown: then the looser form of the call is used, which lets Bosta's people find it.
    pub(super) district: Option<District>,
}

impl Place {
    /// The documented form of the call wants a district.
    pub(super) const fn is_documented(&self) -> bool {
        self.district.is_some()
    }
}

/// The city of an address: by its governorate, else by its city.
pub(super) fn city_of(governorate: &str, city: &str) -> Option<&'static City> {
    [governorate, city].into_iter().find_map(|given| {
        let wanted = folded(given);
        let spelled = |own: &&str| !wanted.is_empty() && folded(own) == wanted;
        CITIES.iter().find(|city| spelled(&city.name) || city.spellings.iter().any(spelled))
    })
}

/// Bosta's rows of districts.
pub(super) fn districts_in(rows: &Value) -> Vec<District> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .filter_map(|row| {
            Some(District {
                id: text_of(row, "districtId")?,
                name: text_of(row, "districtName")?,
                other_name: text_of(row, "districtOtherName").unwrap_or_default(),
                drop_off: row.get("dropOffAvailability") != Some(&Value::Bool(false)),
            })
        })
        .collect()
}

/// Short names would be found inside of others.
const CONTAINED_MIN: usize = 4;

/// The district that one of `words` names; else the one with the longest name that stands in them.
pub(super) fn district_of<'d>(districts: &'d [District], words: &[&str]) -> Option<&'d District> {
    let words: Vec<String> = words.iter().map(|word| folded(word)).collect();
    let names = |district: &District| [folded(&district.name), folded(&district.other_name)];
    let exact = words.iter().filter(|word| !word.is_empty()).find_map(|word| {
        districts.iter().find(|district| names(district).iter().any(|name| name == word))
    });
    let contained = || {
        districts
            .iter()
            .filter_map(|district| {
                let lengths = names(district).into_iter().filter(|name| {
                    name.chars().count() >= CONTAINED_MIN
                        && words.iter().any(|word| word.contains(name.as_str()))
                });
                let longest = lengths.map(|name| name.chars().count()).max()?;
                Some((longest, district))
            })
            .max_by_key(|(length, _)| *length)
            .map(|(_, district)| district)
    };
    exact.or_else(contained)
}

/// Case, spaces, signs, the article and the Arabic letters that people mix up do not count.
fn folded(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let bare = ["el ", "al ", "el-", "al-", "ال"]
        .iter()
        .find_map(|article| lower.strip_prefix(article))
        .unwrap_or(&lower);
    let bare = bare.trim_end_matches(" governorate");
    bare.chars()
        .filter(|letter| letter.is_alphanumeric())
        .map(|letter| match letter {
            'أ' | 'إ' | 'آ' => 'ا',
            'ى' => 'ي',
            'ة' => 'ه',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_governorate_finds_its_city_in_english_and_arabic() {
        for (given, name) in [
            ("Cairo", "Cairo"),
            ("القاهرة", "Cairo"),
            ("Al Qalyubiyah", "El Kalioubia"),
            ("Qaliubiya", "El Kalioubia"),
            ("القليوبية", "El Kalioubia"),
            ("Beheira", "Behira"),
            ("Giza Governorate", "Giza"),
            ("الأسكندرية", "Alexandria"),
            ("الإسماعلية", "Ismailia"),
            ("Menofia", "Monufia"),
            ("Kafr Al sheikh", "Kafr Alsheikh"),
            ("اسيوط", "Assuit"),
        ] {
            assert_eq!(city_of(given, "").map(|city| city.name), Some(name), "{given}");
        }
        assert!(city_of("Atlantis", "").is_none());
        assert_eq!(city_of("", "6th of October").map(|city| city.name), Some("Giza"));
    }

    #[test]
    fn a_district_is_found_by_name_in_either_script_or_inside_a_longer_one() {
        let rows = serde_json::json!([
            {"districtId": "a", "districtName": "Nasr City", "districtOtherName": "مدينة نصر"},
            {"districtId": "b", "districtName": "Maadi", "districtOtherName": "المعادي"},
            {"districtId": "c", "districtName": "Siwa", "dropOffAvailability": false},
        ]);
        let districts = districts_in(&rows);
        let found = |words: &[&str]| district_of(&districts, words).map(|found| found.id.as_str());
        assert_eq!(found(&["nasr city"]), Some("a"));
        assert_eq!(found(&["", "معادي"]), Some("b"));
        assert_eq!(found(&["Nasr City, 7th zone"]), Some("a"));
        assert_eq!(found(&["Zamalek"]), None);
        assert!(!district_of(&districts, &["Siwa"]).unwrap().drop_off);
    }
}
