//! Plain pages as PDF, in the typewriter font that every reader has: manifests hold numbers only.

/// A4 in points.
const WIDTH: u32 = 595;
const HEIGHT: u32 = 842;
const MARGIN: u32 = 40;
const LEADING: u32 = 14;
const LINES: usize = 54;

/// `lines` on as many pages as they need. Letters beyond ASCII become question marks.
pub(crate) fn pdf(lines: &[String]) -> Vec<u8> {
    let pages: Vec<&[String]> = lines.chunks(LINES).collect();
    let kids: Vec<String> = (0..pages.len()).map(|page| format!("{} 0 R", 4 + 2 * page)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>".to_owned(),
    ];
    for (nth, page) in pages.iter().enumerate() {
        let content = content(page);
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Resources << /Font << \
             /F1 3 0 R >> >> /Contents {} 0 R >>",
            5 + 2 * nth
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    assemble(&objects)
}

fn content(lines: &[String]) -> String {
    let mut content = format!("BT /F1 10 Tf {LEADING} TL {MARGIN} {} Td", HEIGHT - MARGIN);
    for line in lines {
        content.push_str(&format!(" ({}) Tj T*", escaped(line)));
    }
    content.push_str(" ET");
    content
}

fn escaped(line: &str) -> String {
    let mut text = String::new();
    for letter in line.chars() {
        match letter {
            '(' | ')' | '\\' => text.extend(['\\', letter]),
            ' '..='~' => text.push(letter),
            _ => text.push('?'),
        }
    }
    text
}

fn assemble(objects: &[String]) -> Vec<u8> {
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = "0000000000 65535 f \n".to_owned();
    for (nth, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", nth + 1));
    }
    let (start, size) = (file.len(), objects.len() + 1);
    file.push_str(&format!("xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"));
    file.push_str(&format!("startxref\n{start}\n%%EOF\n"));
    file.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_takes_several_pages_and_every_object_stands_where_the_table_says() {
        let lines: Vec<String> = (0..120).map(|line| format!("line ({line})")).collect();
        let file = String::from_utf8(pdf(&lines)).unwrap();
        assert!(file.starts_with("%PDF-1.4") && file.contains("/Count 3"));
        let (_, table) = file.rsplit_once("\nxref\n0").unwrap();
        for (nth, entry) in table.lines().skip(2).take(9).enumerate() {
            let offset: usize = entry.split(' ').next().unwrap().parse().unwrap();
            let object = file.split_at(offset).1;
            assert!(object.starts_with(&format!("{} 0 obj", nth + 1)), "{entry}");
        }
    }
}
