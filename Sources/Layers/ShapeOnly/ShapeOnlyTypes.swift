import Nets

/// The layer types of forks that are accepted in nets, so that these can be looked at, and cannot run.
package let shapeOnlyTypes: [ShapeOnlyType] =
  shapeOnlyLosses + shapeOnlyTransforms + shapeOnlyRecurrences + shapeOnlySources + shapeOnlyDetectors
