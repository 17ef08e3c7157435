"""
The report on a trained network: checks with their verdicts, figures, tables and a manifest.

A report is written as one self-contained HTML page for people and one JSON file for programs::

    from brianbridge.report import CaptionedFigure, Check, Report, Table
    from brianbridge.report.figures import loss_curve

    report = Report("Context integration, 80 LIF neurons", summary="Trained to 93 % of fresh trials ...")
    report.checks.append(Check("same spikes", "pass", value=0, criterion="no spike bin differs"))
    report.figures.append(CaptionedFigure(loss_curve(updates, loss), caption="Loss of n = 400 updates.",
                                          alt="The loss falls from 17 to 9."))
    report.save("report.html")                  # also writes report.json

Nothing here needs PyTorch.
"""

from .contents import VERDICTS, CaptionedFigure, Check, Report, Table

__all__ = ["VERDICTS", "CaptionedFigure", "Check", "Report", "Table"]
