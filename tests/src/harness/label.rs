//! Reading a label back as a scanner does: the PDF drawn, the bar code found in the picture.

use std::process::Command;

use anyhow::{Context, ensure};

/// The texts of all bar codes on the first page of a PDF.
///
/// # Errors
/// When poppler-utils or zbar-tools are missing, or no bar code can be read.
pub fn barcodes(pdf: &[u8]) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("label.pdf");
    std::fs::write(&file, pdf)?;
    let page = folder.path().join("page");
    let mut draw = Command::new("pdftoppm");
    draw.args(["-singlefile", "-r", "300", "-gray", "-png"]).arg(&file).arg(&page);
    run(&mut draw, "poppler-utils")?;
    let mut scan = Command::new("zbarimg");
    scan.args(["--quiet", "--raw"]).arg(page.with_extension("png"));
    let said = run(&mut scan, "zbar-tools")?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// The texts on a PDF.
///
/// # Errors
/// When poppler-utils is missing or the PDF cannot be read.
pub fn words(pdf: &[u8]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("label.pdf");
    std::fs::write(&file, pdf)?;
    run(Command::new("pdftotext").arg(&file).arg("-"), "poppler-utils")
}

fn run(command: &mut Command, package: &str) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ran = command.output();
    let ran = ran.with_context(|| format!("cannot start {name}: install {package}"))?;
    let problem = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{name} cannot read the label ({}): {problem}", ran.status);
    Ok(String::from_utf8(ran.stdout)?)
}
