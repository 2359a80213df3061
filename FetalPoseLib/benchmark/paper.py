"""What the paper reports (Tables 1 and 2, section 3): landmarks L1 to L16 and their mean, on 52 clinical volumes."""

METHODS = ("Land-R4", "Land-GCP", "RNN-R4", "RNN-GCP", "GAN-R4", "GAN-GCP", "SSL-R4", "SSL-GCP")

_ERROR_MM = """
1.75  1.74  1.85  1.76  1.85  1.68  1.72  1.76
6.69  8.78  12.1  9.47  7.16  8.61  5.00  6.39
2.54  2.54  7.62  5.93  2.18  2.42  2.36  2.44
7.18  5.59  14.6  13.5  6.57  5.18  4.37  4.57
8.85  6.39  22.1  18.1  8.54  7.79  6.81  6.66
11.1  6.40  22.6  14.9  11.7  9.48  13.3  6.00
2.57  2.15  2.70  4.45  2.44  2.34  2.56  2.23
3.31  2.39  10.4  10.4  2.50  2.32  3.19  2.30
9.87  11.5  20.2  17.1  10.3  11.2  8.40  9.27
13.7  11.1  18.9  15.0  11.4  12.2  10.8  9.40
4.34  2.97  10.7  4.41  3.35  2.99  3.32  2.65
9.23  6.27  12.3  7.27  8.30  6.84  6.45  6.51
7.22  5.05  6.86  5.56  5.00  6.29  7.40  5.68
3.84  2.36  2.87  5.33  3.37  2.02  2.93  1.98
6.69  5.91  5.49  7.11  5.35  5.43  4.63  5.60
6.46  4.49  7.11  5.35  4.21  4.18  4.26  5.31
6.59  5.35  11.14  9.11  5.89  5.69  5.47  4.92
"""

_AUC = """
81.4  82.5  80.6  82.8  80.6  83.4  81.8  82.6
56.5  48.4  34.2  40.3  55.5  49.8  61.9  57.7
75.5  74.8  77.1  77.3  77.2  75.6  75.9  75.6
50.1  61.0  29.6  36.5  55.1  64.2  65.6  66.1
47.5  65.6  34.3  35.5  50.3  57.7  56.7  63.4
32.3  51.8  21.9  36.2  33.0  36.1  22.0  55.0
72.8  78.4  71.3  75.5  74.2  76.4  73.0  77.5
74.0  75.9  72.7  76.0  74.4  77.0  75.3  76.9
48.0  45.7  35.5  26.6  46.6  46.6  56.8  56.0
28.4  35.8  29.1  27.5  38.1  35.8  37.8  43.6
63.6  70.4  55.5  58.1  66.6  71.1  65.1  73.6
27.3  46.5  37.3  43.9  32.9  44.6  46.8  47.4
44.9  49.7  54.7  51.3  51.9  51.6  42.4  45.1
61.8  76.6  69.7  62.4  66.4  80.0  70.1  80.5
48.1  51.7  59.3  54.0  55.0  55.8  63.0  55.3
49.4  55.7  55.6  60.0  56.4  58.8  57.0  50.5
53.8  60.7  51.2  52.8  57.1  60.3  59.5  62.9
"""


def _columns(text: str) -> dict[str, tuple[float, ...]]:
    rows = [[float(number) for number in line.split()] for line in text.split("\n") if line]
    return dict(zip(METHODS, zip(*rows, strict=True), strict=True))


ERROR_MM = _columns(_ERROR_MM)  # Table 1, Euclidean distance
AUC = _columns(_AUC)  # Table 2, in %

CAVEAT = (
    "The paper's columns are not directly comparable with ours: theirs are 52 clinical volumes of one scanner, "
    "annotated by an expert, ours are simulated; and the paper's figure of its landmarks is not in its text, so the "
    "numbering is our convention: which side and order its authors meant within a limb stays open. Compare the levels, "
    "not limb landmark with limb landmark."
)
