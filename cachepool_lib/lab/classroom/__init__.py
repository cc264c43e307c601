"""For whoever teaches: a machine that is looked over, hand-outs, grades, a guide."""
