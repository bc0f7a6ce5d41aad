//! The cities and districts the courier knows, and how an address finds its place among them.

use std::sync::LazyLock;

#[derive(Debug)]
pub(super) struct City {
    pub(super) code: &'static str,
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) name_ar: &'static str,
    pub(super) alias: &'static str,
    pub(super) districts: Vec<District>,
}

#[derive(Debug)]
pub(super) struct District {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) name_ar: &'static str,
}

impl District {
    /// The courier groups districts into zones; here each district is its own.
    pub(super) fn zone_id(&self) -> String {
        format!("z-{}", self.id)
    }

    /// Served or not: a delivery to a place that is not is taken, charged, and comes back.
    pub(super) fn drop_off(&self) -> bool {
        !OUT_OF_COVERAGE.contains(&self.name)
    }
}

/// The real list has such rows, and clients must filter them out.
const OUT_OF_COVERAGE: &[&str] = &["Siwa"];

static CITIES: LazyLock<Vec<City>> = LazyLock::new(|| {
    let cities = rows(include_str!("../../assets/cities.csv"));
    let districts: Vec<[_; 4]> = rows(include_str!("../../assets/districts.csv")).collect();
    cities
        .map(|[code, id, name, name_ar, alias]| City {
            code,
            id,
            name,
            name_ar,
            alias,
            districts: districts
                .iter()
                .filter(|[city, ..]| *city == code)
                .map(|[_, id, name, name_ar]| District { id, name, name_ar })
                .collect(),
        })
        .collect()
});

fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    table.lines().skip(1).filter_map(|line| {
        let mut cells = line.split(',');
        let row: Vec<_> = cells.by_ref().take(N).collect();
        row.try_into().ok()
    })
}

pub(super) fn cities() -> &'static [City] {
    &CITIES
}

pub(super) fn city_by_id(id: &str) -> Option<&'static City> {
    cities().iter().find(|city| city.id == id)
}

/// By English name, alias, Arabic name or code, whatever the case.
pub(super) fn city_by_name(name: &str) -> Option<&'static City> {
    let wanted = folded(name);
    cities().iter().find(|city| {
        [city.name, city.alias, city.name_ar, city.code].iter().any(|own| folded(own) == wanted)
    })
}

impl City {
    pub(super) fn district_by_id(&self, id: &str) -> Option<&District> {
        self.districts.iter().find(|district| district.id == id)
    }

    pub(super) fn district_by_zone(&self, zone_id: &str) -> Option<&District> {
        self.districts.iter().find(|district| district.zone_id() == zone_id)
    }

    pub(super) fn district_by_name(&self, name: &str) -> Option<&District> {
        let wanted = folded(name);
        self.districts
            .iter()
            .find(|own| folded(own.name) == wanted || folded(own.name_ar) == wanted)
    }
}

/// Case, spaces, hyphens, the article and the Arabic letters that people mix up do not count.
fn folded(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let bare = ["el ", "al ", "el-", "al-", "ال"]
        .iter()
        .find_map(|article| lower.strip_prefix(article))
        .unwrap_or(&lower);
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
    use super::{cities, city_by_id, city_by_name};

    #[test]
    fn the_28_cities_have_their_codes_and_ids_and_each_has_districts() {
        assert_eq!(cities().len(), 28);
        assert!(cities().iter().all(|city| !city.districts.is_empty()));
        assert_eq!(city_by_id("FceDyHXwpSYYF9zGW").unwrap().code, "EG-01");
        assert_eq!(city_by_name("EG-25").unwrap().id, "0064Qb0OgcA");
    }

    #[test]
    fn a_city_is_found_by_the_couriers_spelling_and_by_the_common_one() {
        for name in ["Behira", "beheira", "البحيرة"] {
            assert_eq!(city_by_name(name).unwrap().code, "EG-04", "{name}");
        }
        assert!(city_by_name("Atlantis").is_none());
    }

    #[test]
    fn a_district_is_found_in_its_own_city_only() {
        let cairo = city_by_name("Cairo").unwrap();
        assert_eq!(cairo.district_by_name("nasr city").unwrap().name, "Nasr City");
        assert_eq!(cairo.district_by_name("المعادي").unwrap().name, "Maadi");
        assert!(cairo.district_by_name("Dokki").is_none());
        assert!(cairo.district_by_id("0a1B2c3D4e5").is_none());
    }
}
