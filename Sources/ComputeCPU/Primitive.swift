import CDNNL
import Diagnostics
import Tensors

/// oneDNN's engine and stream, and the threads that its primitives run on.
final class OneDNN {
  fileprivate let handle: OpaquePointer
  fileprivate let pool: ThreadPool

  /// - Throws: `machine` when oneDNN cannot be used here.
  init(pool: ThreadPool) throws {
    var created: OpaquePointer?
    let status = mtl_dnnl_create(&created)
    guard status == 0, let created else { throw OneDNN.fault("its engine for the CPU", status) }
    handle = created
    self.pool = pool
  }

  deinit { mtl_dnnl_destroy(handle) }

  /// Describes a primitive; `create` is one of CDNNL's functions.
  ///
  /// - Returns: nil when there is nothing to do (weights that need no packing), or when oneDNN has no such primitive and
  ///   `isOptional` is set.
  /// - Throws: `machine` when oneDNN has no such primitive.
  func primitive(
    _ what: @autoclosure () -> String, isOptional: Bool = false,
    _ create: (_ result: UnsafeMutablePointer<OpaquePointer?>, _ dnnl: OpaquePointer) -> Int32
  ) throws -> Primitive? {
    var created: OpaquePointer?
    // What oneDNN chooses depends on the threads that it will have.
    pool.use()
    let status = create(&created, handle)
    if status != 0 {
      if isOptional { return nil }
      throw OneDNN.fault(what(), status)
    }
    return created.map { Primitive($0, owner: self) }
  }

  fileprivate static func fault(_ what: String, _ status: Int32) -> Diagnostic {
    Diagnostic(.machine, "oneDNN could not make \(what): \(String(cString: mtl_dnnl_message(status)))")
  }
}

/// One of oneDNN's primitives with its arguments.
final class Primitive {
  let handle: OpaquePointer
  private let owner: OneDNN

  fileprivate init(_ handle: OpaquePointer, owner: OneDNN) {
    self.handle = handle
    self.owner = owner
  }

  deinit { mtl_primitive_destroy(handle) }

  /// oneDNN's name of the kernel, such as `jit:avx512_core`.
  var implementation: String { String(cString: mtl_primitive_implementation(handle)) }

  /// nil for formats that no other op here reads.
  func format(_ argument: mtl_argument) -> Format? { Format(mtl_primitive_format(handle, argument)) }

  func byteCount(_ argument: mtl_argument) -> Int { mtl_primitive_size(handle, argument) }

  /// Makes it ready to run.
  func build() throws {
    owner.pool.use()
    let status = mtl_primitive_build(handle)
    if status != 0 { throw OneDNN.fault("the kernel \(implementation)", status) }
  }

  func set(_ argument: mtl_argument, _ memory: UnsafeMutableRawPointer) {
    mtl_primitive_set(handle, argument, memory)
  }

  /// For what is only read: oneDNN's arguments do not tell.
  func set(_ argument: mtl_argument, _ memory: UnsafeRawPointer) {
    mtl_primitive_set(handle, argument, UnsafeMutableRawPointer(mutating: memory))
  }

  func run() {
    owner.pool.use()
    let status = mtl_primitive_run(handle)
    precondition(status == 0, "oneDNN: \(String(cString: mtl_dnnl_message(status)))")
  }
}
