-- True while no time of day is inside the window h in all zones where the customer may be.
h.latest - h.earliest >= h.closes - h.opens
