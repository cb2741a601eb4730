//! A report of text, tables and charts, as a single HTML file that asks for nothing else, or as Markdown.

mod markdown;
mod table;

use crate::chart::{Chart, escaped};
pub use table::Table;

/// The whole report.
#[derive(Clone, Debug)]
pub struct Page {
    /// What it is about.
    pub title: String,
    /// Its parts, from top to bottom.
    pub sections: Vec<Section>,
}

/// A part of a report. All text is plain: what looks like markup is shown as it stands.
#[derive(Clone, Debug)]
pub enum Section {
    /// Begins a chapter.
    Heading(String),
    /// Running text. Line breaks in it are as good as spaces.
    Paragraph(String),
    /// Figures.
    Table(Table),
    /// A picture.
    Chart(Chart),
    /// A command, or what one has written: line by line, in letters of one width.
    Code(String),
}

/// Colours follow the reader's choice of a light or dark screen, but charts stay on white, for which their colours were chosen.
/// On a narrow screen tables and charts are scrolled sideways, since text in them would be too small.
const STYLE: &str = include_str!("style.css");

impl Page {
    /// One file in HTML, without scripts and without links to anything outside it.
    ///
    /// # Errors
    /// If a chart has nothing to draw.
    pub fn html(&self) -> anyhow::Result<String> {
        let title = escaped(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        for section in &self.sections {
            html += &match section {
                Section::Heading(text) => format!("<h2>{}</h2>\n", escaped(text)),
                Section::Paragraph(text) => format!("<p>{}</p>\n", escaped(text)),
                Section::Table(table) => table.html(),
                Section::Chart(chart) => format!("<figure>\n{}</figure>\n", chart.svg()?),
                Section::Code(text) => format!("<pre><code>{}</code></pre>\n", escaped(text.trim_end())),
            };
        }
        html += "</main>\n</body>\n</html>\n";
        Ok(html)
    }

    /// The same in GitHub's Markdown. `charts` is the folder of the pictures, seen from the file: each is there as NAME.svg.
    pub fn markdown(&self, charts: &str) -> String {
        let mut blocks = vec![format!("# {}", markdown::escaped(&self.title))];
        for section in &self.sections {
            blocks.push(match section {
                Section::Heading(text) => format!("## {}", markdown::escaped(text)),
                Section::Paragraph(text) => markdown::paragraph(text),
                Section::Table(table) => table.markdown(),
                Section::Chart(chart) => markdown::picture(charts, &chart.name, &chart.title),
                Section::Code(text) => markdown::fenced(text),
            });
        }
        blocks.join("\n\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Axis, Series, Style};

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let axis = || Axis { label: "n".to_owned(), logarithmic: false };
        Chart {
            name: "messages sent".to_owned(),
            title: "Messages [sent]".to_owned(),
            x: axis(),
            y: axis(),
            series: vec![Series { name: "pbft".to_owned(), points, style: Style::Measured }],
            marks: Vec::new(),
        }
    }

    fn page() -> Page {
        Page {
            title: "Cost & <scale>".to_owned(),
            sections: vec![
                Section::Heading("Messages".to_owned()),
                Section::Paragraph("Each sends\n<script>alert(1)</script> & more.".to_owned()),
                Section::Table(Table {
                    header: vec!["protocol".to_owned(), "messages".to_owned()],
                    rows: vec![vec!["pbft".to_owned(), "24".to_owned()]],
                }),
                Section::Chart(chart(vec![(4.0, 24.0)])),
                Section::Code("quorate bench <complexity>\n".to_owned()),
            ],
        }
    }

    #[test]
    fn the_html_is_whole_escaped_and_asks_for_nothing() {
        let html = page().html().unwrap();
        assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
        assert!(html.contains("<title>Cost &amp; &lt;scale&gt;</title>"));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more."));
        assert!(html.contains("<pre><code>quorate bench &lt;complexity&gt;</code></pre>"));
        assert_eq!(html.matches("<svg").count(), 1);
        assert!(html.contains("prefers-color-scheme: dark") && html.contains("tabular-nums"));
        for outside in ["<script", "<link", "src=", "href=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        // The name of a language, not an address to fetch.
        assert_eq!(
            html.matches("http://").count(),
            html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
        );
        assert!(!html.contains("https://"));
    }

    #[test]
    fn a_page_with_an_empty_chart_is_an_error() {
        let page = Page { title: String::new(), sections: vec![Section::Chart(chart(Vec::new()))] };
        assert!(page.html().unwrap_err().to_string().contains("nothing to draw"));
    }

    #[test]
    fn the_markdown_reads_the_same() {
        let expected = "# Cost & \\<scale\\>\n\n## Messages\n\nEach sends \\<script\\>alert(1)\\</script\\> & more.\n\n\
            | protocol | messages |\n| --- | ---: |\n| pbft | 24 |\n\n\
            ![Messages \\[sent\\]](charts/messages%20sent.svg)\n\n```\nquorate bench <complexity>\n```\n";
        assert_eq!(page().markdown("charts"), expected);
    }
}
