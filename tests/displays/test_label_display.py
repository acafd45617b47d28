"""What every display of a classifier does alike."""


def test_from_estimator_keeps_figure_and_axes(pyplot, data, classifier, ClassifierDisplay):
    """Check the attributes after drawing a figure of its own."""
    display = ClassifierDisplay.from_estimator(classifier, *data)
    assert isinstance(display, ClassifierDisplay)
    assert isinstance(display.figure_, pyplot.Figure)
    assert display.ax_ is display.axes_[0]
    assert all(ax.figure is display.figure_ for ax in display.axes_)


def test_plot_returns_itself_and_draws_anew(pyplot, data, classifier, ClassifierDisplay):
    """Check that `plot` returns the display and makes a new figure."""
    display = ClassifierDisplay.from_estimator(classifier, *data)
    first = display.figure_
    assert display.plot() is display
    assert display.figure_ is not first
